"""A Meshtastic app reduced to its protocol: everything it gets is kept, nothing is assumed.

It reads and writes with the generated classes of the `meshtastic` package, not with the code under
test.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
import socket
from types import TracebackType
from typing import Final, Self, override

from meshtastic.protobuf import admin_pb2, mesh_pb2, portnums_pb2

BROADCAST: Final = 0xFFFFFFFF
TIMEOUT: Final = 15.0
"""Seconds after which something that ought to come is taken for missing, on a busy machine."""


def frame(payload: bytes) -> bytes:
    """Return the payload in its envelope."""
    return b"\x94\xc3" + len(payload).to_bytes(2) + payload


class MeshtasticPhone:
    """One connection to a node, real or virtual."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        """Prepare a connection to `host` and `port`."""
        self.host = host
        self.port = port
        self.payloads: list[bytes] = []
        """Every `FromRadio` payload, as it came."""
        self.closed = False
        self._news = asyncio.Event()
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._task: asyncio.Task[None] | None = None
        self._next_id = 0x1000

    async def __aenter__(self) -> Self:
        """Connect."""
        await self.connect()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Disconnect."""
        await self.close()

    async def connect(self, *, local_host: str | None = None) -> None:
        """Open the connection, from an address of this machine if one is given."""
        self._reader, self._writer = await asyncio.open_connection(
            self.host, self.port, local_addr=(local_host, 0) if local_host else None
        )
        self.closed = False
        self._task = asyncio.create_task(self._read())

    async def close(self) -> None:
        """End the connection."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        if self._writer is not None:
            self._writer.close()
            with suppress(OSError):
                await self._writer.wait_closed()

    def reset(self) -> None:
        """End the connection as a phone does that loses its network: by a reset."""
        assert self._writer is not None
        sock: socket.socket = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self._writer.transport.abort()

    async def _read(self) -> None:
        assert self._reader is not None
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                header = await self._reader.readexactly(4)
                assert header[:2] == b"\x94\xc3", "bytes outside of frames"
                self.payloads.append(await self._reader.readexactly(int.from_bytes(header[2:])))
                self._news.set()
        self.closed = True
        self._news.set()

    async def wait_for(self, predicate: Callable[[], object], timeout: float = TIMEOUT) -> None:
        """Wait until something that came makes the predicate true.

        Raises `TimeoutError` when it stays false.
        """
        async with asyncio.timeout(timeout):
            while not predicate():
                self._news.clear()
                await self._news.wait()

    async def wait_closed(self, timeout: float = TIMEOUT) -> None:
        """Wait until the node has ended the connection."""
        await self.wait_for(lambda: self.closed, timeout)

    def write(self, data: bytes) -> None:
        """Send bytes as they are."""
        assert self._writer is not None
        self._writer.write(data)

    def write_eof(self) -> None:
        """Say that nothing more will be sent; what comes is still read."""
        assert self._writer is not None
        self._writer.write_eof()

    def send(self, to_radio: mesh_pb2.ToRadio) -> None:
        """Send a message."""
        self.write(frame(to_radio.SerializeToString()))

    async def want_config(self, nonce: int = 12345, timeout: float = TIMEOUT) -> list[bytes]:
        """Do a handshake and return the payloads that came for it, the last one included."""
        start = len(self.payloads)
        self.send(mesh_pb2.ToRadio(want_config_id=nonce))
        await self.wait_for(
            lambda: any(m.config_complete_id == nonce for m in self.messages(start)), timeout
        )
        end = next(
            index
            for index, message in enumerate(self.messages(start))
            if message.HasField("config_complete_id")
        )
        return self.payloads[start : start + end + 1]

    def heartbeat(self, nonce: int = 0) -> None:
        """Send a heartbeat."""
        self.send(mesh_pb2.ToRadio(heartbeat=mesh_pb2.Heartbeat(nonce=nonce)))

    async def barrier(self) -> None:
        """Wait until the node has read all that was sent, and what it said at once has come."""
        before = len(self.queue_statuses(0))
        self.heartbeat()
        await self.wait_for(lambda: len(self.queue_statuses(0)) > before)

    def send_data(
        self,
        portnum: int,
        payload: bytes,
        *,
        to: int = BROADCAST,
        packet_id: int | None = None,
        want_ack: bool = True,
        want_response: bool = False,
        channel: int = 0,
        from_num: int = 0,
        reply_id: int = 0,
        emoji: int = 0,
    ) -> int:
        """Send a packet and return its id."""
        if packet_id is None:
            self._next_id += 1
            packet_id = id(self) % 0x7FFF0000 + self._next_id
        packet = mesh_pb2.MeshPacket(
            id=packet_id, to=to, channel=channel, want_ack=want_ack, hop_limit=3
        )
        if from_num:
            setattr(packet, "from", from_num)
        packet.decoded.portnum = portnum  # type: ignore[assignment]
        packet.decoded.payload = payload
        packet.decoded.want_response = want_response
        packet.decoded.reply_id = reply_id
        packet.decoded.emoji = emoji
        self.send(mesh_pb2.ToRadio(packet=packet))
        return packet_id

    def send_text(self, text: str, **options: int) -> int:
        """Send a text and return its packet's id."""
        return self.send_data(
            portnums_pb2.PortNum.TEXT_MESSAGE_APP,
            text.encode(),
            **options,  # type: ignore[arg-type]
        )

    def send_admin(
        self,
        message: admin_pb2.AdminMessage,
        to: int,
        *,
        packet_id: int | None = None,
        want_ack: bool = True,
        want_response: bool | None = None,
        from_num: int = 0,
    ) -> int:
        """Send an administrative command or question and return its packet's id.

        A question asks for a response by itself.
        """
        if want_response is None:
            want_response = (message.WhichOneof("payload_variant") or "").startswith("get_")
        return self.send_data(
            portnums_pb2.PortNum.ADMIN_APP,
            message.SerializeToString(),
            to=to,
            packet_id=packet_id,
            want_ack=want_ack,
            want_response=want_response,
            from_num=from_num,
        )

    async def ask_admin(
        self, message: admin_pb2.AdminMessage, to: int, timeout: float = TIMEOUT
    ) -> admin_pb2.AdminMessage | int:
        """Send an administrative message; return the answer, or the routing error in its place."""
        packet_id = self.send_admin(message, to)
        await self.wait_for(lambda: self.responses(packet_id), timeout)
        answer = self.responses(packet_id)[0].decoded
        if answer.portnum == portnums_pb2.PortNum.ROUTING_APP:
            return mesh_pb2.Routing.FromString(answer.payload).error_reason
        return admin_pb2.AdminMessage.FromString(answer.payload)

    async def outcome(self, packet_id: int, timeout: float = TIMEOUT) -> list[int]:
        """Wait for an acknowledgement or refusal of a packet, and return all that came of it."""
        await self.wait_for(lambda: self.routing_errors(packet_id), timeout)
        return self.routing_errors(packet_id)

    async def wait_for_payload(
        self, portnum: int, payload: bytes, timeout: float = TIMEOUT
    ) -> None:
        """Wait for a packet of that port number with that payload."""
        await self.wait_for(
            lambda: any(p.decoded.payload == payload for p in self.packets(portnum)), timeout
        )

    def messages(self, start: int = 0) -> list[mesh_pb2.FromRadio]:
        """Return everything that came, decoded."""
        return [mesh_pb2.FromRadio.FromString(payload) for payload in self.payloads[start:]]

    def packets(self, portnum: int | None = None) -> list[mesh_pb2.MeshPacket]:
        """Return the packets that came, all or those of one port number."""
        found = [m.packet for m in self.messages() if m.HasField("packet")]
        return found if portnum is None else [p for p in found if p.decoded.portnum == portnum]

    def texts(self) -> list[str]:
        """Return the texts that came."""
        return [
            packet.decoded.payload.decode()
            for packet in self.packets(portnums_pb2.PortNum.TEXT_MESSAGE_APP)
        ]

    def queue_statuses(self, packet_id: int | None = None) -> list[mesh_pb2.QueueStatus]:
        """Return the reports on the queue that came, all or those about one packet."""
        found = [m.queueStatus for m in self.messages() if m.HasField("queueStatus")]
        if packet_id is None:
            return found
        return [status for status in found if status.mesh_packet_id == packet_id]

    def routing_errors(self, packet_id: int) -> list[int]:
        """Return the acknowledgements of a packet, 0 for a good one."""
        return [
            mesh_pb2.Routing.FromString(packet.decoded.payload).error_reason
            for packet in self.packets(portnums_pb2.PortNum.ROUTING_APP)
            if packet.decoded.request_id == packet_id
        ]

    def responses(self, request_id: int) -> list[mesh_pb2.MeshPacket]:
        """Return the packets that came in answer to one that was sent."""
        return [p for p in self.packets() if p.decoded.request_id == request_id]

    def notifications(self) -> list[str]:
        """Return the notifications that came."""
        return [
            m.clientNotification.message
            for m in self.messages()
            if m.HasField("clientNotification")
        ]

    @override
    def __repr__(self) -> str:
        """Say where it is connected."""
        return f"MeshtasticPhone({self.host}:{self.port})"
