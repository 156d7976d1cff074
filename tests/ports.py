"""TCP ports for listeners of tests."""

from contextlib import suppress
from random import SystemRandom
import socket
from typing import Final

_RANDOM: Final = SystemRandom()


def free_port(host: str = "") -> int:
    """Return a TCP port that nobody listens at.

    It is not one of those that systems hand out by themselves, so that no other program's next
    connection takes it before the test does.

    Args:
        host: The local address to listen at; empty for all.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    while True:
        port = _RANDOM.randint(10_000, 30_000)
        with socket.socket(family) as probe, suppress(OSError):
            probe.bind((host, port))
            return port
