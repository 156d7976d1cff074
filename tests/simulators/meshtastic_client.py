"""A bare Meshtastic client for tests: frames in, frames out, nothing done by itself."""

import asyncio
import socket
from types import TracebackType
from typing import Self, cast, override

from meshtastic.protobuf import admin_pb2, mesh_pb2

from .meshtastic_frames import FrameReader, frame
from .meshtastic_mesh import PORTS, Port, text_of
from .watched import Watched


class RawClient(Watched, asyncio.Protocol):
    """One TCP connection to a node or to something that behaves like one.

    async with await RawClient.connect(host, port) as client:
        dump = await client.want_config(69420)
    """

    def __init__(self) -> None:
        """Use `connect`."""
        super().__init__()
        self._reader = FrameReader()
        self._transport: asyncio.Transport | None = None
        self.payloads: list[bytes] = []
        """The `FromRadio` payloads received, in order."""
        self.raw = bytearray()
        """Every byte received."""
        self.ended = False
        """Whether the other side ended the connection."""

    @classmethod
    async def connect(cls, host: str, port: int, *, receive_buffer: int | None = None) -> Self:
        """Connect, with a receive buffer of so many bytes if given, as a small device has.

        Raises `OSError` when nobody listens.
        """
        loop = asyncio.get_running_loop()
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        try:
            sock.setblocking(False)
            if receive_buffer is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            await loop.sock_connect(sock, (host, port))
            _, client = await loop.create_connection(cls, sock=sock)
        except BaseException:
            sock.close()
            raise
        return client

    async def __aenter__(self) -> Self:
        """Return the client."""
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the connection."""
        self.close()
        await asyncio.sleep(0)

    def close(self) -> None:
        """Close the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def pause(self) -> None:
        """Stop reading, as a client that hangs."""
        if self._transport is not None:
            self._transport.pause_reading()

    # asyncio's side.

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    @override
    def data_received(self, data: bytes) -> None:
        self.raw += data
        self.payloads += self._reader.feed(data)
        self._changed()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = True
        self._changed()

    # What was received.

    @property
    def frames(self) -> list[mesh_pb2.FromRadio]:
        """The frames received, decoded."""
        return [mesh_pb2.FromRadio.FromString(p) for p in self.payloads]

    def packets(self, port: Port | None = None) -> list[mesh_pb2.MeshPacket]:
        """Return the packets received, all or those of one port."""
        found = [f.packet for f in self.frames if f.HasField("packet")]
        return found if port is None else [p for p in found if p.decoded.portnum == port]

    def texts(self) -> list[str]:
        """Return the texts received."""
        return [text_of(p) for p in self.packets(PORTS.TEXT_MESSAGE_APP)]

    def queue_statuses(self) -> list[mesh_pb2.QueueStatus]:
        """Return the queue reports received."""
        return [f.queueStatus for f in self.frames if f.HasField("queueStatus")]

    def reported_ids(self) -> list[int]:
        """Return the packet ids that the queue reports received are about."""
        return [status.mesh_packet_id for status in self.queue_statuses()]

    def notifications(self) -> list[str]:
        """Return the messages meant for the person."""
        return [
            f.clientNotification.message for f in self.frames if f.HasField("clientNotification")
        ]

    def errors_for(self, packet_id: int) -> list[int]:
        """Return the `Routing` errors received for a packet, 0 for an acknowledgement."""
        return [
            mesh_pb2.Routing.FromString(p.decoded.payload).error_reason
            for p in self.packets(PORTS.ROUTING_APP)
            if p.decoded.request_id == packet_id
        ]

    async def end(self) -> None:
        """Wait until the other side ends the connection."""
        await self.wait_for(lambda: self.ended)

    async def report(self, packet_id: int) -> mesh_pb2.QueueStatus:
        """Wait for the queue report about a packet and return it."""
        await self.wait_for(lambda: packet_id in self.reported_ids())
        return next(s for s in self.queue_statuses() if s.mesh_packet_id == packet_id)

    async def outcome(self, packet_id: int) -> list[int]:
        """Wait for the acknowledgement or refusal of a packet and return its `Routing` errors."""
        await self.wait_for(lambda: self.errors_for(packet_id))
        return self.errors_for(packet_id)

    async def more(self, count: int, than: int) -> list[bytes]:
        """Wait for `count` payloads after the first `than`, and return all after those."""
        await self.wait_for(lambda: len(self.payloads) >= than + count)
        return self.payloads[than:]

    # What is sent.

    def write(self, data: bytes) -> None:
        """Write bytes as they are."""
        if self._transport is None or self._transport.is_closing():
            raise ConnectionError("not connected")
        self._transport.write(data)

    def send(self, message: mesh_pb2.ToRadio) -> None:
        """Send one message."""
        self.write(frame(message.SerializeToString()))

    def heartbeat(self, nonce: int = 0) -> None:
        """Send a heartbeat."""
        self.send(mesh_pb2.ToRadio(heartbeat=mesh_pb2.Heartbeat(nonce=nonce)))

    def send_packet(self, packet: mesh_pb2.MeshPacket) -> int:
        """Send a packet and return its id."""
        self.send(mesh_pb2.ToRadio(packet=packet))
        return packet.id

    def send_data(
        self,
        port: Port,
        payload: bytes,
        *,
        to: int,
        packet_id: int,
        want_ack: bool = False,
        want_response: bool = False,
    ) -> int:
        """Send a payload on any port, as an official client would, and return the packet's id."""
        return self.send_packet(
            mesh_pb2.MeshPacket(
                to=to,
                id=packet_id,
                want_ack=want_ack,
                hop_limit=3,
                decoded=mesh_pb2.Data(portnum=port, payload=payload, want_response=want_response),
            )
        )

    def say(self, text: str, *, to: int, packet_id: int) -> int:
        """Send a text that wants an acknowledgement and return the packet's id."""
        port = PORTS.TEXT_MESSAGE_APP
        return self.send_data(port, text.encode(), to=to, packet_id=packet_id, want_ack=True)

    async def want_config(self, nonce: int, timeout: float = 5.0) -> list[bytes]:
        """Ask for a dump and return its payloads, `config_complete_id` included."""
        first = len(self.payloads)
        self.send(mesh_pb2.ToRadio(want_config_id=nonce))
        end = mesh_pb2.FromRadio(config_complete_id=nonce).SerializeToString()
        await self.wait_for(lambda: end in self.payloads[first:] or self.ended, timeout)
        if end not in self.payloads[first:]:
            raise ConnectionError("ended before the dump was complete")
        return self.payloads[first : self.payloads.index(end, first) + 1]

    async def ask_admin(
        self, message: admin_pb2.AdminMessage, *, to: int, packet_id: int, timeout: float = 5.0
    ) -> admin_pb2.AdminMessage | int:
        """Send an admin message; return the answer, or the `Routing` error in its place."""
        self.send_data(
            PORTS.ADMIN_APP,
            message.SerializeToString(),
            to=to,
            packet_id=packet_id,
            want_ack=True,
            want_response=(message.WhichOneof("payload_variant") or "").startswith("get_"),
        )
        first = len(self.payloads)

        def answers() -> list[mesh_pb2.MeshPacket]:
            frames = map(mesh_pb2.FromRadio.FromString, self.payloads[first:])
            return [f.packet for f in frames if f.packet.decoded.request_id == packet_id]

        await self.wait_for(answers, timeout)
        answer = answers()[0].decoded
        if answer.portnum == PORTS.ROUTING_APP:
            return mesh_pb2.Routing.FromString(answer.payload).error_reason
        return admin_pb2.AdminMessage.FromString(answer.payload)
