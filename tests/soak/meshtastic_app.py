"""A Meshtastic app among many."""

from typing import override

from meshtastic.protobuf import mesh_pb2, portnums_pb2

from tests.simulators.meshtastic_frames import FrameReader, frame

from .app import App

FULL, CONFIG, NODES = 4711, 69420, 69421
_TEXT = portnums_pb2.PortNum.TEXT_MESSAGE_APP


class MeshtasticApp(App):
    """An app that is sent every text."""

    def __init__(self, address: str, port: int) -> None:
        """Make an app that is not connected."""
        super().__init__(address, port)
        self._frames = FrameReader()
        self._awaited: list[int] = []

    @property
    @override
    def is_asking(self) -> bool:
        return bool(self._awaited)

    @override
    def begin(self) -> None:
        self._frames = FrameReader()
        self._awaited = []

    @override
    def greet(self) -> None:
        self.handshake(FULL)

    def handshake(self, *nonces: int) -> None:
        """Ask for the configuration, in one go or in two."""
        self._awaited = list(nonces)
        self._ask()

    def send_text(self, text: str, packet_id: int, to: int) -> None:
        """Send a text."""
        packet = mesh_pb2.MeshPacket(id=packet_id, to=to, want_ack=True, hop_limit=3)
        packet.decoded.portnum = _TEXT
        packet.decoded.payload = text.encode()
        self.write(frame(mesh_pb2.ToRadio(packet=packet).SerializeToString()))

    @override
    def feed(self, data: bytes) -> None:
        for payload in self._frames.feed(data):
            self._take(mesh_pb2.FromRadio.FromString(payload))
        if self._frames.skipped:
            self.failure = "bytes outside of frames"

    def _ask(self) -> None:
        if self._awaited:
            request = mesh_pb2.ToRadio(want_config_id=self._awaited[0])
            self.write(frame(request.SerializeToString()))

    def _take(self, message: mesh_pb2.FromRadio) -> None:
        if message.packet.decoded.portnum == _TEXT:
            self.texts.append(message.packet.decoded.payload.decode())
            if not self.is_ready:
                self.failure = "a text before the handshake was complete"
        elif message.HasField("config_complete_id") and self._awaited:
            if message.config_complete_id != self._awaited.pop(0):
                self.failure = "another nonce than was asked for"
            self.is_ready = True
            self._ask()
