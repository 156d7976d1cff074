"""A phone that comes and goes without ever losing count of the texts that it got."""

import asyncio
from contextlib import suppress
import socket
import struct

from meshtastic.protobuf import mesh_pb2, portnums_pb2

from tests.simulators.meshtastic_frames import FrameReader, frame

_TEXT = portnums_pb2.PortNum.TEXT_MESSAGE_APP
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class App:
    """One person's app. It has an address of its own, by which the virtual node knows it again."""

    def __init__(self, address: str, port: int) -> None:
        """Make an app that is not connected."""
        self.address = address
        self.port = port
        self.texts: list[str] = []
        """The texts that it got, in order."""
        self.sent: list[str] = []
        """The texts that the radio was asked to send."""
        self.refused: set[int] = set()
        """The ids of those packets that were visibly not sent."""
        self.is_ready = False
        """Whether the handshake of the present connection is complete."""
        self.failure = ""
        """What the node said that it may not say."""
        self._sock: socket.socket | None = None
        self._frames = FrameReader()
        self._awaited: list[int] = []

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection."""
        return self._sock is not None

    @property
    def is_asking(self) -> bool:
        """Whether an answer is awaited."""
        return bool(self._awaited)

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
        self._frames = FrameReader()
        self._awaited = []
        self.listen()

    def handshake(self, *nonces: int) -> None:
        """Ask for the configuration, in one go or in two."""
        self._awaited = list(nonces)
        self._ask()

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

    def send_text(self, text: str, packet_id: int, to: int) -> None:
        """Send a text."""
        packet = mesh_pb2.MeshPacket(id=packet_id, to=to, want_ack=True, hop_limit=3)
        packet.decoded.portnum = _TEXT
        packet.decoded.payload = text.encode()
        if self.write(frame(mesh_pb2.ToRadio(packet=packet).SerializeToString())):
            self.sent.append(text)

    def write(self, data: bytes) -> bool:
        """Send bytes; returns whether the system took them all."""
        if self._sock is None:
            return False
        with suppress(OSError):
            return self._sock.send(data) == len(data)
        return False

    def _ask(self) -> None:
        if self._awaited:
            request = mesh_pb2.ToRadio(want_config_id=self._awaited[0])
            self.write(frame(request.SerializeToString()))

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
            for payload in self._frames.feed(data):
                self._take(mesh_pb2.FromRadio.FromString(payload))
            if self._frames.skipped:
                self.failure = "bytes outside of frames"

    def _take(self, message: mesh_pb2.FromRadio) -> None:
        if message.packet.decoded.portnum == _TEXT:
            self.texts.append(message.packet.decoded.payload.decode())
            if not self.is_ready:
                self.failure = "a text before the handshake was complete"
        elif message.packet.decoded.portnum == portnums_pb2.PortNum.ROUTING_APP:
            routing = mesh_pb2.Routing.FromString(message.packet.decoded.payload)
            if routing.error_reason:
                self.refused.add(message.packet.decoded.request_id)
        elif message.HasField("config_complete_id") and self._awaited:
            if message.config_complete_id != self._awaited.pop(0):
                self.failure = "another nonce than was asked for"
            self.is_ready = True
            self._ask()

    def _close(self) -> None:
        if self._sock is not None:
            asyncio.get_running_loop().remove_reader(self._sock)
            self._sock.close()
            self._sock = None
        self.is_ready = False
