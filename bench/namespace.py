"""A network of its own, whose loopback has an Ethernet's MTU.

The usual loopback takes 64 KiB at once and buffers megabytes, which hides a client that has stopped
reading. Linux only, and only where making such a network is permitted.
"""

import fcntl
import os
import socket
import struct
from typing import Final

ETHERNET_MTU: Final = 1500

# linux/sockios.h, linux/if.h
_SIOCGIFFLAGS: Final = 0x8913
_SIOCSIFFLAGS: Final = 0x8914
_SIOCSIFMTU: Final = 0x8922
_IFF_UP: Final = 1


def enter_namespace() -> None:
    """Move this process, and what it will start, into a network that has nothing but loopback.

    Raises:
        OSError: It is not permitted.
    """
    flags = os.CLONE_NEWNET if os.geteuid() == 0 else os.CLONE_NEWUSER | os.CLONE_NEWNET
    os.unshare(flags)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, _SIOCSIFMTU, struct.pack("16si", b"lo", ETHERNET_MTU))
        request = struct.pack("16sh", b"lo", 0)
        answer = fcntl.ioctl(sock, _SIOCGIFFLAGS, request)
        (present,) = struct.unpack("16xh", answer)
        fcntl.ioctl(sock, _SIOCSIFFLAGS, struct.pack("16sh", b"lo", present | _IFF_UP))
