"""Byte streams to a radio, over TCP or a serial port, opened and closed the same way."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
import fcntl
import os
import socket
import struct
import sys
import termios
from typing import Final, override

import serialx

KEEPALIVE_IDLE: Final = 60
KEEPALIVE_INTERVAL: Final = 15
KEEPALIVE_PROBES: Final = 4
"""A peer that is gone is found after two minutes of silence, also where nothing is sent."""

DEAD_RADIO_TIMEOUT: Final = 75.0
"""Seconds of unacknowledged data after which the system ends a connection to a radio. Heartbeats
wait for an acknowledgement while a radio is gone, and no keep-alive probe is sent meanwhile."""

_RECEIVE_BUFFER: Final = 1 << 20
"""Radios close a connection whose reader is slow: a short write ends the session in some firmware
(meshtastic/firmware, issue 11822), so a node database of any size must fit without us."""

_C_INT: Final = struct.Struct("i")


class TransportError(Exception):
    """A stream could not be opened; the text says why, without secrets."""


@dataclass(frozen=True, slots=True)
class TcpEndpoint:
    """A radio in the network."""

    host: str
    port: int

    @override
    def __str__(self) -> str:
        """Return what a log line may show."""
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class SerialEndpoint:
    """A radio at a serial port: a device path, or a URL that `serialx` can open."""

    device: str = field(repr=False)
    baudrate: int = 115200

    @override
    def __str__(self) -> str:
        """Return what a log line may show: the query of a URL may hold an access key."""
        return self.device.partition("?")[0]


type Endpoint = TcpEndpoint | SerialEndpoint


async def open_transport[ProtocolT: asyncio.Protocol](
    endpoint: Endpoint, protocol_factory: Callable[[], ProtocolT], *, timeout: float
) -> tuple[asyncio.Transport, ProtocolT]:
    """Open a stream and connect it to a new protocol.

    Args:
        endpoint: Where the radio is.
        protocol_factory: Makes the asyncio protocol that gets the bytes.
        timeout: How long the attempt may take, in seconds.

    Raises:
        TransportError: Nothing answers there, or the port is not there or in use.
    """
    try:
        async with asyncio.timeout(timeout):
            if isinstance(endpoint, SerialEndpoint):
                return await _open_serial(endpoint, protocol_factory)
            return await _open_tcp(endpoint, protocol_factory)
    except TimeoutError:
        raise TransportError(f"no connection within {timeout:g} s") from None
    except (OSError, serialx.SerialException, ValueError, OverflowError) as err:
        # The last two: a host name, port or URL that is none.
        raise TransportError(describe_error(err)) from err


async def _open_tcp[ProtocolT: asyncio.Protocol](
    endpoint: TcpEndpoint, protocol_factory: Callable[[], ProtocolT]
) -> tuple[asyncio.Transport, ProtocolT]:
    try:
        transport, protocol = await asyncio.get_running_loop().create_connection(
            protocol_factory, endpoint.host, endpoint.port
        )
    except OSError as err:
        if err.errno is None:
            # asyncio lists the errors of several addresses in a text alone.
            raise TransportError("none of the host's addresses answers") from err
        raise
    sock: socket.socket = transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
    tune_socket(sock, user_timeout=DEAD_RADIO_TIMEOUT)
    return transport, protocol


async def _open_serial[ProtocolT: asyncio.Protocol](
    endpoint: SerialEndpoint, protocol_factory: Callable[[], ProtocolT]
) -> tuple[asyncio.Transport, ProtocolT]:
    protocol = protocol_factory()
    # Both lines are raised together and left alone at the end: USB CDC of nRF52 boards needs DTR,
    # and the reset circuit of ESP32 boards acts on the moments when the two differ.
    transport, _ = await serialx.create_serial_connection(
        asyncio.get_running_loop(),
        lambda: protocol,
        endpoint.device,
        baudrate=endpoint.baudrate,
        dtr_on_close=serialx.PinState.UNDEFINED,
        rts_on_close=serialx.PinState.UNDEFINED,
    )
    return transport, protocol


def tune_socket(sock: socket.socket, *, user_timeout: float | None = None) -> None:
    """Make a TCP connection prompt, and its end noticed.

    Args:
        sock: A connected socket.
        user_timeout: After how many seconds of unacknowledged data the system ends the connection;
            None leaves that to the system, for where it matters less or cannot be set.
    """
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", KEEPALIVE_IDLE),
        ("TCP_KEEPINTVL", KEEPALIVE_INTERVAL),
        ("TCP_KEEPCNT", KEEPALIVE_PROBES),
        ("TCP_USER_TIMEOUT", None if user_timeout is None else int(user_timeout * 1000)),
    ):
        # Not every system has each of these; the connection works without.
        if value is not None and hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def unacknowledged(sock: socket.socket) -> int:
    """Return how many of the bytes that the system took have not reached the peer's system.

    It is told also of a connection that was just lost, until its socket is closed. Where the
    system cannot tell, it is 0.
    """
    if sys.platform != "linux":
        return 0
    answer = bytearray(_C_INT.size)
    try:
        # On a TCP socket this is SIOCOUTQ (Linux, tcp(7)).
        fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, answer)
    except OSError, ValueError:
        return 0
    count: int = _C_INT.unpack(answer)[0]
    return count


def describe_error(err: Exception) -> str:
    """Return the system's own words for an error, without addresses or URLs."""
    if isinstance(err, OSError):
        if err.errno is not None and err.errno > 0:
            # asyncio puts the address into the text of its own.
            return os.strerror(err.errno)
        if err.strerror:
            return err.strerror
    return type(err).__name__
