"""Frames as a phone writes them, made with the schema's own classes."""

from typing import Final

from meshtastic.protobuf import admin_pb2, mesh_pb2, portnums_pb2

from custom_components.meshmonitor.meshtastic import client_frame
from custom_components.meshmonitor.meshtastic.client_frame import ClientPacket

PORT: Final = portnums_pb2.PortNum
BROADCAST: Final = 0xFFFFFFFF
NO_LORA: Final = 1


def mesh_packet(
    payload: bytes = b"hello",
    *,
    portnum: int = PORT.TEXT_MESSAGE_APP,
    sender: int = 0,
    to: int = BROADCAST,
    packet_id: int = 0x12345678,
    channel: int = 0,
    hop_limit: int = 3,
    want_ack: bool = True,
    want_response: bool = False,
    reply_id: int = 0,
    emoji: int = 0,
) -> mesh_pb2.MeshPacket:
    """Return a decoded packet."""
    packet = mesh_pb2.MeshPacket(
        to=to, id=packet_id, channel=channel, hop_limit=hop_limit, want_ack=want_ack
    )
    setattr(packet, "from", sender)
    packet.decoded.portnum = PORT.ValueType(portnum)
    packet.decoded.payload = payload
    packet.decoded.want_response = want_response
    packet.decoded.reply_id = reply_id
    packet.decoded.emoji = emoji
    return packet


def to_radio(packet: mesh_pb2.MeshPacket) -> bytes:
    """Return the payload of the frame in which a packet is sent."""
    return mesh_pb2.ToRadio(packet=packet).SerializeToString()


def parsed(packet: mesh_pb2.MeshPacket) -> ClientPacket:
    """Return a packet as it is read from its frame."""
    frame = client_frame.parse(to_radio(packet))
    assert isinstance(frame, client_frame.Packet)
    return frame.packet


def admin_packet(
    message: admin_pb2.AdminMessage | bytes,
    *,
    to: int,
    sender: int = 0,
    packet_id: int = 0x12345678,
    channel: int = 0,
    want_ack: bool = True,
    want_response: bool = True,
) -> mesh_pb2.MeshPacket:
    """Return a packet with an admin message."""
    payload = message if isinstance(message, bytes) else message.SerializeToString()
    return mesh_packet(
        payload,
        portnum=PORT.ADMIN_APP,
        sender=sender,
        to=to,
        packet_id=packet_id,
        channel=channel,
        want_ack=want_ack,
        want_response=want_response,
    )
