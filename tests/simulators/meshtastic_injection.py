"""What a test can make a simulated Meshtastic node hear, or send, at any moment.

Everything goes through the node's bounded queue, as traffic does, unless it says otherwise. The
methods give the connection one turn of the loop to write before they return.
"""

from abc import ABC, abstractmethod
import asyncio
from typing import Final

from meshtastic.protobuf import channel_pb2, config_pb2, mesh_pb2, telemetry_pb2

from .meshtastic_frames import MAX_PAYLOAD, START1, START2
from .meshtastic_link import Link
from .meshtastic_mesh import PORTS, Mesh, Port, make_packet
from .meshtastic_queues import PhoneQueues
from .meshtastic_state import BROADCAST, NodeState

OVERSIZE: Final = MAX_PAYLOAD + 1


class Injection(ABC):
    """The traffic side of `SimulatedNode`."""

    state: NodeState
    mesh: Mesh
    queues: PhoneQueues

    @abstractmethod
    def now(self) -> int:
        """Return the time in seconds since 1970."""

    @abstractmethod
    def pump(self) -> None:
        """Let all links send what waits."""

    @abstractmethod
    def _links(self) -> list[Link]:
        """Return the links that are open."""

    # Traffic of the mesh.

    async def say(
        self,
        from_num: int,
        text: str,
        *,
        to: int = BROADCAST,
        channel: int = 0,
        reply_id: int = 0,
        reaction: bool = False,
        packet_id: int | None = None,
    ) -> int:
        """Let node `from_num` send `text`, to everybody or to one node; return the packet's id."""
        packet = self.mesh.from_air(
            self.mesh.peer(from_num),
            PORTS.TEXT_MESSAGE_APP,
            text.encode(),
            now=self.now(),
            to=to,
            channel=channel,
            packet_id=packet_id,
        )
        packet.decoded.reply_id = reply_id
        packet.decoded.emoji = int(reaction)
        if to == self.state.num:
            packet.want_ack = True
            self.mesh.direct(packet, self.mesh.peer(from_num))
        await self.send_packet(packet)
        return packet.id

    async def send_data(
        self,
        from_num: int,
        port: Port,
        payload: bytes,
        *,
        to: int = BROADCAST,
        channel: int = 0,
        packet_id: int | None = None,
    ) -> int:
        """Let node `from_num` send a payload on any port; return the packet's id."""
        packet = self.mesh.from_air(
            self.mesh.peer(from_num),
            port,
            payload,
            now=self.now(),
            to=to,
            channel=channel,
            packet_id=packet_id,
        )
        await self.send_packet(packet)
        return packet.id

    async def send_position(self, from_num: int, position: mesh_pb2.Position) -> int:
        """Let node `from_num` move to `position` and broadcast it; return the packet's id."""
        self.mesh.peer(from_num).position = position
        return await self.send_data(from_num, PORTS.POSITION_APP, position.SerializeToString())

    async def send_telemetry(self, from_num: int, telemetry: telemetry_pb2.Telemetry) -> int:
        """Let node `from_num` broadcast a measurement; return the packet's id."""
        peer = self.mesh.peer(from_num)
        match telemetry.WhichOneof("variant"):
            case "device_metrics":
                peer.metrics = telemetry.device_metrics
            case "environment_metrics":
                peer.environment = telemetry.environment_metrics
        return await self.send_data(from_num, PORTS.TELEMETRY_APP, telemetry.SerializeToString())

    async def send_waypoint(self, from_num: int, waypoint: mesh_pb2.Waypoint) -> int:
        """Let node `from_num` broadcast a waypoint; return the packet's id."""
        return await self.send_data(from_num, PORTS.WAYPOINT_APP, waypoint.SerializeToString())

    async def send_node_info(self, from_num: int, user: mesh_pb2.User | None = None) -> int:
        """Let node `from_num` introduce itself, as `user` if given; return the packet's id."""
        peer = self.mesh.peer(from_num)
        if user is not None:
            peer.user = user
        return await self.send_data(from_num, PORTS.NODEINFO_APP, peer.user.SerializeToString())

    async def send_packet(self, packet: mesh_pb2.MeshPacket) -> None:
        """Send a packet to the client exactly as given."""
        text = packet.HasField("decoded") and packet.decoded.portnum == PORTS.TEXT_MESSAGE_APP
        payload = mesh_pb2.FromRadio(packet=packet).SerializeToString()
        self.queues.put_packet(payload, text=text)
        await self._turn()

    # The node's own frames.

    async def send_own_telemetry(self, telemetry: telemetry_pb2.Telemetry | None = None) -> None:
        """Send a measurement of the node's own, its device metrics by default, as broadcast."""
        if telemetry is None:
            telemetry = telemetry_pb2.Telemetry(time=self.now(), device_metrics=self.state.metrics)
        packet = make_packet(
            self.state.num,
            BROADCAST,
            PORTS.TELEMETRY_APP,
            telemetry.SerializeToString(),
            self.mesh.next_id(),
        )
        packet.hop_limit = 3
        packet.priority = mesh_pb2.MeshPacket.Priority.BACKGROUND
        if self.state.time_known:
            # As `Router::allocForSending` does, before anything is known of the packet's way.
            packet.rx_time = self.now()
        await self.send_packet(packet)

    async def send_raw(self, payload: bytes) -> None:
        """Send any bytes as a `FromRadio` payload, in its turn among the packets."""
        self.queues.put_packet(payload, text=True)
        await self._turn()

    async def send_mqtt(self, topic: str, data: bytes) -> None:
        """Ask the client to publish `data`, as a node with the client proxy does."""
        self.queues.put_mqtt(mesh_pb2.MqttClientProxyMessage(topic=topic, data=data))
        await self._turn()

    async def send_queue_status(self, packet_id: int = 0, res: int = 0) -> None:
        """Report on a packet that no client sent, as the node does for its own."""
        self.queues.put_queue_status(
            mesh_pb2.QueueStatus(res=res, free=15, maxlen=16, mesh_packet_id=packet_id)
        )
        await self._turn()

    async def send_notification(self, message: str) -> None:
        """Send a warning for the person at the client."""
        self.queues.put_notification(
            mesh_pb2.ClientNotification(
                time=self.now(), level=mesh_pb2.LogRecord.Level.WARNING, message=message
            )
        )
        await self._turn()

    # Live changes. Firmware hardly ever sends these unasked; clients must cope all the same.

    async def change_channel(self, channel: channel_pb2.Channel) -> None:
        """Replace a channel slot and send it."""
        self.state.channels[channel.index].CopyFrom(channel)
        await self.send_raw(mesh_pb2.FromRadio(channel=channel).SerializeToString())

    async def change_config(self, config: config_pb2.Config) -> None:
        """Replace a configuration section and send it."""
        self.state.configs[config.WhichOneof("payload_variant") or ""].CopyFrom(config)
        await self.send_raw(mesh_pb2.FromRadio(config=config).SerializeToString())

    # Past the queue and whatever the state: what a broken stream looks like.

    async def send_junk(self, data: bytes) -> None:
        """Write bytes that stand outside any frame, now."""
        for link in self._links():
            link.write_now(data)
        await self._turn()

    async def send_oversize_frame(self) -> None:
        """Write a frame that announces, and holds, one byte more than is allowed."""
        await self.send_junk(bytes((START1, START2)) + OVERSIZE.to_bytes(2) + bytes(OVERSIZE))

    async def send_empty_frame(self) -> None:
        """Write a frame without a payload, which is legal and means nothing."""
        await self.send_junk(bytes((START1, START2, 0, 0)))

    async def _turn(self) -> None:
        self.pump()
        await asyncio.sleep(0)
