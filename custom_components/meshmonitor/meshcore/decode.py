"""Frames to the neutral values that Home Assistant is shown.

Names and units of readings are those that Meshtastic uses for the same thing, so that what is
written for one protocol reads the same for the other.
"""

from collections.abc import Callable, Mapping
import hashlib
from typing import Final

from ..mesh.model import (
    Channel,
    Identity,
    Message,
    MessageKind,
    Node,
    Origin,
    Position,
    RouteHop,
    Telemetry,
    Traceroute,
)
from . import lpp
from .codes import KEY_SIZE, AdvType, Resp, TxtType
from .frames import (
    COORDINATE_SCALE,
    Battery,
    ChannelInfo,
    ChannelMessage,
    Contact,
    ContactMessage,
    contact_key,
    number_at,
    text_of,
)
from .mirror import Mirror
from .pushes import PathDiscovery, RemoteStatus, Trace, hop_count

_ROLES: Final = {
    AdvType.CHAT: "companion",
    AdvType.REPEATER: "repeater",
    AdvType.ROOM: "room_server",
    AdvType.SENSOR: "sensor",
}
ENVIRONMENT_NAMES: Final = {
    "humidity": "relative_humidity",
    "pressure": "barometric_pressure",
    "luminosity": "lux",
}
_ENVIRONMENT_FACTORS: Final = {"current": 1000, "distance": 1000}
"""Meshtastic has milliamperes and millimetres."""
_PAYLOAD_ADVERT: Final = 4
_ROUTES_WITH_CODES: Final = (0, 3)
_POSITION_NAMES: Final = frozenset({"latitude", "longitude"})


def identity(mirror: Mirror) -> Identity | None:
    """Return who the radio is, once it said so."""
    info, device = mirror.info, mirror.device
    if info is None:
        return None
    return Identity(
        node_id=info.public_key.hex(),
        name=info.name,
        short_name=info.public_key[:4].hex(),
        hardware=device.model if device else None,
        firmware=device.firmware if device else None,
    )


def own_node(mirror: Mirror, telemetry: Mapping[str, Telemetry]) -> Node | None:
    """Return the radio itself as a node.

    Args:
        mirror: What is known of the radio.
        telemetry: Its readings, by kind.
    """
    info, device = mirror.info, mirror.device
    if info is None:
        return None
    return Node(
        node_id=info.public_key.hex(),
        name=info.name,
        short_name=info.public_key[:4].hex(),
        hardware=device.model if device else None,
        role=_ROLES.get(AdvType(info.adv_type)) if info.adv_type in _ROLES else None,
        is_own=True,
        hops_away=0,
        public_key=info.public_key.hex(),
        position=_position(info.latitude, info.longitude),
        telemetry=telemetry,
    )


def node(
    frame: bytes,
    telemetry: Mapping[str, Telemetry],
    position: Position | None,
    *,
    snr: float | None = None,
    rssi: float | None = None,
) -> Node:
    """Return a contact as a node.

    Args:
        frame: Its ``CONTACT`` frame.
        telemetry: Readings that it sent, by kind.
        position: What it measured; None takes the position that it advertises.
        snr: How well it was heard directly, in dB.
        rssi: How strongly it was heard directly, in dBm.
    """
    contact = Contact.parse(frame)
    return Node(
        node_id=contact.public_key.hex(),
        name=contact.name or None,
        short_name=contact.public_key[:4].hex(),
        role=_ROLES.get(AdvType(contact.adv_type)) if contact.adv_type in _ROLES else None,
        last_heard=float(contact.lastmod) or None,
        snr=snr,
        rssi=rssi,
        hops_away=hop_count(contact.out_path_len),
        is_favorite=bool(contact.flags & 1),
        is_messageable=contact.adv_type in (AdvType.CHAT, AdvType.ROOM),
        public_key=contact.public_key.hex(),
        position=position or _position(contact.latitude, contact.longitude),
        telemetry=telemetry,
    )


def channel(info: ChannelInfo) -> Channel:
    """Return a slot of the channel table."""
    return Channel(
        index=info.index,
        name=info.name or f"Channel {info.index}",
        is_primary=info.index == 0,
        is_enabled=not info.is_empty,
    )


def content_id(*parts: bytes | int) -> str:
    """Return an id for a message, the same for every copy of it."""
    digest = hashlib.sha256()
    for part in parts:
        raw = part.to_bytes(8) if isinstance(part, int) else part
        digest.update(len(raw).to_bytes(2) + raw)
    return digest.hexdigest()[:16]


def message(frame: bytes, mirror: Mirror, now: float) -> Message | None:
    """Return what an inbox item says; None where it is no text for a person.

    Args:
        frame: The item.
        mirror: For the names of contacts and channels.
        now: Unix time.

    Raises:
        FrameError: The item is too short.
    """
    if frame[0] in (Resp.CONTACT_MSG_RECV, Resp.CONTACT_MSG_RECV_V3):
        return _direct(ContactMessage.parse(frame), mirror, now)
    if frame[0] in (Resp.CHANNEL_MSG_RECV, Resp.CHANNEL_MSG_RECV_V3):
        return _post(ChannelMessage.parse(frame), mirror, now)
    return None


def _direct(text: ContactMessage, mirror: Mirror, now: float) -> Message | None:
    if text.txt_type not in (TxtType.PLAIN, TxtType.SIGNED_PLAIN):
        # What a repeater answers to a command line is no message.
        return None
    # Only room servers send signed texts: the posts of others (``pushPostToClient`` of
    # examples/simple_room_server/MyMesh.cpp).
    is_post = text.txt_type == TxtType.SIGNED_PLAIN
    writer = text.author if is_post else text.sender
    known = mirror.contacts.with_prefix(writer)
    contact = None if known is None else Contact.parse(known)
    recipient = _key(mirror, text.sender) if is_post else mirror.public_key
    return Message(
        message_id=content_id(text.sender, text.author, text.timestamp, text.text),
        kind=MessageKind.ROOM if is_post else MessageKind.DIRECT,
        origin=Origin.RADIO,
        text=text_of(text.text),
        sender_id=writer.hex() if contact is None else contact.public_key.hex(),
        sender_name=None if contact is None else contact.name,
        recipient_id=None if recipient is None else recipient.hex(),
        hops=hop_count(text.path_len),
        snr=text.snr,
        time=now,
    )


def _key(mirror: Mirror, prefix: bytes) -> bytes:
    """Return a contact's key; of a stranger, the part that is known."""
    known = mirror.contacts.with_prefix(prefix)
    return prefix if known is None else contact_key(known)


def _post(post: ChannelMessage, mirror: Mirror, now: float) -> Message:
    sender, colon, text = text_of(post.text).partition(": ")
    slot = mirror.channel(post.channel)
    return Message(
        message_id=content_id(post.channel, post.timestamp, post.text),
        kind=MessageKind.CHANNEL,
        origin=Origin.RADIO,
        text=text if colon else sender,
        sender_id=None,
        sender_name=sender if colon else None,
        channel=post.channel,
        channel_name=None if slot is None else channel(slot).name,
        hops=hop_count(post.path_len),
        snr=post.snr,
        time=now,
    )


def own_telemetry(mirror: Mirror, now: float) -> dict[str, Telemetry]:
    """Return what the radio's battery and statistics say, by kind."""
    device: dict[str, float | int | str] = {}
    stats: dict[str, float | int | str] = {}
    battery = mirror.kept.get(Resp.BATT_AND_STORAGE)
    if battery is not None:
        read = Battery.parse(battery)
        device["voltage"] = read.millivolts / 1000
        if read.used_kb is not None and read.total_kb is not None:
            stats["storage_used_kb"] = read.used_kb
            stats["storage_total_kb"] = read.total_kb
    core, radio, packets = (mirror.stats.get(kind, b"") for kind in range(3))
    if len(core) >= 11:
        device["uptime_seconds"] = number_at(core, 4)
        stats["error_flags"] = int.from_bytes(core[8:10], "little")
        stats["tx_queue"] = core[10]
    if len(radio) >= 14:
        stats["noise_floor"] = int.from_bytes(radio[2:4], "little", signed=True)
        stats["last_rssi"] = int.from_bytes(radio[4:5], signed=True)
        stats["last_snr"] = int.from_bytes(radio[5:6], signed=True) / 4
        stats["tx_air_seconds"] = number_at(radio, 6)
        stats["rx_air_seconds"] = number_at(radio, 10)
    if len(packets) >= 26:
        names = ("num_packets_rx", "num_packets_tx", "num_tx_flood", "num_tx_direct")
        for place, name in enumerate((*names, "num_rx_flood", "num_rx_direct")):
            stats[name] = number_at(packets, 2 + 4 * place)
    if len(packets) >= 30:
        stats["num_packets_rx_bad"] = number_at(packets, 26)
    return _kinds(now, device=device, local_stats=stats)


def status_telemetry(blob: bytes, now: float, *, is_room: bool = False) -> dict[str, Telemetry]:
    """Return what a repeater or room says of itself, by kind.

    Args:
        blob: What its answer carries.
        now: Unix time.
        is_room: Whether it is a room server, which counts posts where a repeater has the air time
            of what it received (``ServerStats`` of examples/simple_room_server/MyMesh.h).

    Raises:
        FrameError: The status is too short.
    """
    status = RemoteStatus.parse(blob)
    stats: dict[str, float | int | str] = {
        "noise_floor": status.noise_floor,
        "last_rssi": status.last_rssi,
        "last_snr": status.last_snr,
        "tx_queue": status.tx_queue,
        "tx_air_seconds": status.tx_air_time,
        "num_packets_rx": status.packets_received,
        "num_packets_tx": status.packets_sent,
        "num_tx_flood": status.sent_flood,
        "num_tx_direct": status.sent_direct,
        "num_rx_flood": status.received_flood,
        "num_rx_direct": status.received_direct,
        "num_rx_dupe": status.direct_duplicates + status.flood_duplicates,
        "error_flags": status.error_flags,
    }
    if status.rx_air_time is not None and not is_room:
        stats["rx_air_seconds"] = status.rx_air_time
    if status.receive_errors is not None and not is_room:
        stats["num_packets_rx_bad"] = status.receive_errors
    device: dict[str, float | int | str] = {
        "voltage": status.millivolts / 1000,
        "uptime_seconds": status.uptime,
    }
    return _kinds(now, device=device, local_stats=stats)


def lpp_telemetry(data: bytes, now: float) -> tuple[dict[str, Telemetry], Position | None]:
    """Return the readings of a telemetry answer by kind, and the position among them.

    Readings of another channel than the node's own carry its number behind their name.
    """
    device: dict[str, float | int | str] = {}
    environment: dict[str, float | int | str] = {}
    place: dict[str, float] = {}
    for reading in lpp.decode(data):
        is_self = reading.channel == lpp.SELF_CHANNEL
        if reading.name in _POSITION_NAMES or (reading.name == "altitude" and place):
            place[reading.name] = reading.value
        elif is_self and reading.name in ("voltage", "percentage"):
            name = "battery_level" if reading.name == "percentage" else reading.name
            device[name] = reading.value
        else:
            name = ENVIRONMENT_NAMES.get(reading.name, reading.name)
            value = reading.value * _ENVIRONMENT_FACTORS.get(reading.name, 1)
            environment[name if is_self else f"{name}_{reading.channel}"] = round(value, 6)
    position = None
    if place.get("latitude") or place.get("longitude"):
        position = Position(
            latitude=place["latitude"],
            longitude=place["longitude"],
            altitude=place.get("altitude"),
            time=now,
        )
    return _kinds(now, device=device, environment=environment), position


def direct_advert(packet: bytes) -> bytes | None:
    """Return whose advert a received packet is, if it came without a relay.

    Source: MeshCore firmware v1.17.1, src/Packet.h: two bits of route type, four of payload type;
    transport codes of four bytes in two of the route types; then the path and the payload.
    """
    if len(packet) < 2 or packet[0] >> 2 & 0xF != _PAYLOAD_ADVERT:
        return None
    at = 5 if packet[0] & 3 in _ROUTES_WITH_CODES else 1
    if len(packet) < at + 1 + KEY_SIZE or packet[at] & 0x3F:
        return None
    return packet[at + 1 : at + 1 + KEY_SIZE]


def traceroute(
    trace: Trace, node_id: str, request_id: str, outward: int, name: Callable[[bytes], str]
) -> Traceroute:
    """Return a trace that came back.

    A trace runs over its relays to the node, and over the same ones back; each tells how well it
    heard the one before it, and the own radio how well it heard the last.

    Args:
        trace: What came back.
        node_id: The node that was asked for.
        request_id: The tag, in hexadecimal.
        outward: How many hops it is to the node, itself included.
        name: Returns the node id that a key prefix means; none means the own radio.
    """
    hops = [
        RouteHop(node_id=name(relay), snr=snr)
        for relay, snr in zip(trace.hashes, trace.snrs, strict=False)
    ]
    if len(hops) >= outward:
        hops[outward - 1] = RouteHop(node_id=node_id, snr=hops[outward - 1].snr)
    own = RouteHop(node_id=name(b""), snr=trace.snrs[-1])
    return Traceroute(
        node_id=node_id,
        towards=tuple(hops[:outward]),
        back=(*hops[outward:], own),
        request_id=request_id,
    )


def discovered(found: PathDiscovery, node_id: str, name: Callable[[bytes], str]) -> Traceroute:
    """Return the ways that were discovered; nobody told how well they were heard.

    Args:
        found: The answer.
        node_id: The node that was asked for.
        name: Returns the node id that a key prefix means.
    """
    return Traceroute(
        node_id=node_id,
        towards=(
            *(RouteHop(node_id=name(hop)) for hop in found.out_path),
            RouteHop(node_id=node_id),
        ),
        back=tuple(RouteHop(node_id=name(hop)) for hop in found.in_path),
    )


def _position(latitude: int, longitude: int) -> Position | None:
    """Return a position in millionths of a degree; zero in both is how the firmware says none."""
    if latitude == 0 and longitude == 0:
        return None
    return Position(latitude=latitude / COORDINATE_SCALE, longitude=longitude / COORDINATE_SCALE)


def _kinds(now: float, **kinds: dict[str, float | int | str]) -> dict[str, Telemetry]:
    return {
        kind: Telemetry(kind=kind, values=values, time=now)
        for kind, values in kinds.items()
        if values
    }
