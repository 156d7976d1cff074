"""A phone that comes and goes without ever losing count of the texts that it got."""

from abc import ABC, abstractmethod
import asyncio
from contextlib import suppress
import socket
import struct

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class App(ABC):
    """One person's app. It has an address of its own, by which the virtual node knows it again."""

    def __init__(self, address: str, port: int) -> None:
        """Make an app that is not connected."""
        self.address = address
        self.port = port
        self.texts: list[str] = []
        """The texts that it got, in order."""
        self.is_ready = False
        """Whether the handshake of the present connection is complete."""
        self.failure = ""
        """What the node said that it may not say."""
        self._sock: socket.socket | None = None

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection."""
        return self._sock is not None

    @property
    @abstractmethod
    def is_asking(self) -> bool:
        """Whether an answer is awaited."""

    @abstractmethod
    def begin(self) -> None:
        """Forget the connection before: a new one stands."""

    @abstractmethod
    def greet(self) -> None:
        """Do the handshake."""

    @abstractmethod
    def feed(self, data: bytes) -> None:
        """Take what the node says, cut anywhere."""

    async def connect(self, *, is_slow: bool = False) -> None:
        """Connect; raises `OSError` where nobody listens."""
        sock = socket.socket()
        sock.setblocking(False)
        if is_slow:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.bind((self.address, 0))
        try:
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.port))
        except BaseException:
            sock.close()
            raise
        self._sock = sock
        self.begin()
        self.listen()

    def listen(self) -> None:
        """Read what comes."""
        if self._sock is not None:
            asyncio.get_running_loop().add_reader(self._sock, self._read)

    def stall(self) -> None:
        """Read nothing for now."""
        if self._sock is not None:
            asyncio.get_running_loop().remove_reader(self._sock)

    def leave(self, *, reset: bool = False) -> None:
        """Read what is there, and end the connection in the same moment."""
        self._read()
        if self._sock is not None:
            # A system may put off an acknowledgement for a moment, and a reset carries none.
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            if reset:
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            self._close()

    def write(self, data: bytes) -> bool:
        """Send bytes; returns whether the system took them all."""
        if self._sock is None:
            return False
        with suppress(OSError):
            return self._sock.send(data) == len(data)
        return False

    def _read(self) -> None:
        while self._sock is not None:
            try:
                data = self._sock.recv(65536)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._close()
                return
            self.feed(data)

    def _close(self) -> None:
        if self._sock is not None:
            asyncio.get_running_loop().remove_reader(self._sock)
            self._sock.close()
            self._sock = None
        self.is_ready = False
