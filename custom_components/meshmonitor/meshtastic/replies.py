"""The messages that this program writes itself, to clients and to the radio, without I/O.

They are built on the wire, in the order of the field numbers and without defaults, as the firmware
writes them. All functions return the payload of a frame (`framing.encode` makes the frame of it)
unless they say otherwise. Node numbers and packet ids are unsigned 32-bit numbers, times are Unix
seconds.
"""

from typing import Final

from . import admin, packets, wire
from .client_frame import MAX_DATA_PAYLOAD, ClientPacket

NOTIFICATION_WARNING: Final = 30
"""``LogRecord.Level.WARNING``."""
MAX_NOTIFICATION: Final = 400
"""Bytes of ``ClientNotification.message``, its closing NUL included in the firmware's buffer."""

ECHOED: Final = frozenset({packets.TEXT_MESSAGE, packets.WAYPOINT})
"""What one client sends and all the others should see, by port number."""

_PRIORITY_RELIABLE: Final = 70
_PRIORITY_ACK: Final = 120

_FROM: Final = 1
_TO: Final = 2
_CHANNEL: Final = 3
_DECODED: Final = 4
_ID: Final = 6
_RX_TIME: Final = 7
_RX_SNR: Final = 8
_HOP_LIMIT: Final = 9
_WANT_ACK: Final = 10
_PRIORITY: Final = 11
_RX_RSSI: Final = 12
_HOP_START: Final = 15
_PUBLIC_KEY: Final = 16
_PKI_ENCRYPTED: Final = 17
_TRANSPORT: Final = 21
_NOT_ECHOED: Final = frozenset(
    {
        _FROM,
        _ID,
        _RX_TIME,
        _RX_SNR,
        _WANT_ACK,
        _RX_RSSI,
        _HOP_START,
        _PUBLIC_KEY,
        _TRANSPORT,
    }
)
"""What an echo replaces, or leaves out because it says how a packet came over the air."""


class PayloadTooLongError(ValueError):
    """A packet would carry more than the radio takes."""


def queue_status(res: int, free: int, maxlen: int, packet_id: int = 0) -> bytes:
    """Return a ``FromRadio.queueStatus``.

    Args:
        res: 0, or why the radio did not take the packet: a firmware ``ErrorCode`` or a
            ``Routing.Error``.
        free: Places left in the queue for transmission.
        maxlen: Places in that queue.
        packet_id: The packet of which it speaks; 0 for none.
    """
    status = _number(1, res) + _number(2, free) + _number(3, maxlen) + _number(4, packet_id)
    return wire.bytes_field(11, status)


def config_complete(nonce: int) -> bytes:
    """Return the ``FromRadio.config_complete_id`` that ends the answer to a ``want_config_id``."""
    return wire.varint_field(7, nonce)


def rebooted() -> bytes:
    """Return the ``FromRadio.rebooted`` on which clients ask for everything anew."""
    return wire.varint_field(8, 1)


def client_notification(
    text: str, *, reply_id: int = 0, time: int = 0, level: int = NOTIFICATION_WARNING
) -> bytes:
    """Return a ``FromRadio.clientNotification``.

    Args:
        text: What the app shows; cut to the length that the schema allows.
        reply_id: The packet of which it speaks; 0 for none.
        time: When it was written; 0 for unknown.
        level: A ``LogRecord.Level``.
    """
    message = text.encode()[: MAX_NOTIFICATION - 1].decode(errors="ignore").encode()
    return wire.bytes_field(
        16,
        _number(1, reply_id) + _fixed(2, time) + _number(3, level) + wire.bytes_field(4, message),
    )


def routing(
    own_num: int, request_id: int, error: int, packet_id: int, *, channel: int = 0, rx_time: int = 0
) -> bytes:
    """Return the ``ROUTING_APP`` with which the node acknowledges or refuses a packet locally.

    Args:
        own_num: The node's number: sender and addressee.
        request_id: The packet of which it speaks.
        error: A ``Routing.Error``; 0 acknowledges.
        packet_id: Its own id, not 0.
        channel: The channel of the packet of which it speaks.
        rx_time: Now; 0 for unknown.
    """
    data = (
        wire.varint_field(1, packets.ROUTING)
        + wire.bytes_field(2, wire.varint_field(3, error))
        + _fixed(6, request_id)
    )
    return _from_own_node(own_num, channel, data, packet_id, rx_time, _PRIORITY_ACK)


def response(
    own_num: int,
    request: ClientPacket,
    portnum: int,
    payload: bytes,
    packet_id: int,
    *,
    rx_time: int = 0,
) -> bytes:
    """Return the node's own answer to a client's request, as its modules address it.

    Args:
        own_num: The node's number: sender and addressee.
        request: What is answered.
        portnum: The port number of the answer.
        payload: ``Data.payload`` of the answer.
        packet_id: Its own id, not 0.
        rx_time: Now; 0 for unknown.
    """
    data = wire.varint_field(1, portnum) + _bytes(2, payload) + _fixed(6, request.id)
    return _from_own_node(
        own_num,
        request.channel,
        data,
        packet_id,
        rx_time,
        _PRIORITY_RELIABLE,
        pki_encrypted=request.pki_encrypted,
    )


def echo(own_num: int, raw: bytes, packet_id: int, rx_time: int) -> bytes:
    """Return a sent packet as all clients but its sender should see it.

    It looks like a packet of the node's own, as the node hands those to its client: from its
    number, with an id, heard over no radio. Every field that this does not concern stays as it
    came, known or not. The public key goes: apps compare it with the key of the other party.

    Args:
        own_num: The node's number.
        raw: The ``MeshPacket`` as it was sent, well-formed.
        packet_id: Its id, also where the sender left that to the node.
        rx_time: When the radio took it.
    """
    fields = wire.scan(raw)
    hop_limit = wire.value_int(wire.last(fields, _HOP_LIMIT))
    kept = b"".join(
        raw[field.start : field.end] for field in fields if field.number not in _NOT_ECHOED
    )
    packet = (
        wire.fixed32_field(_FROM, own_num)
        + kept
        + wire.fixed32_field(_ID, packet_id)
        + _fixed(_RX_TIME, rx_time)
        + _number(_HOP_START, hop_limit)
    )
    return wire.bytes_field(2, packet)


def for_radio(raw: bytes, packet_id: int) -> bytes:
    """Return the ``ToRadio`` for a packet, which is as it came unless it has no id yet.

    Args:
        raw: The ``MeshPacket``, well-formed.
        packet_id: The id that it has, or gets where it has none.
    """
    if not wire.value_int(wire.last(wire.scan(raw), _ID)):
        raw = wire.replace_field(raw, _ID, wire.fixed32_field(_ID, packet_id))
    return wire.bytes_field(1, raw)


def own_packet(
    *,
    destination: int,
    portnum: int,
    payload: bytes,
    packet_id: int,
    channel: int = 0,
    hop_limit: int = 0,
    want_ack: bool = False,
    want_response: bool = False,
    reply_id: int = 0,
    emoji: int = 0,
) -> bytes:
    """Return a ``MeshPacket`` of Home Assistant's own, not yet in a ``ToRadio``.

    Args:
        destination: The node that it is for.
        portnum: The port number.
        payload: ``Data.payload``.
        packet_id: Its id, not 0.
        channel: The index of its channel.
        hop_limit: How many nodes may repeat it; 0 leaves it to the radio, if `want_ack`.
        want_ack: Have its arrival reported.
        want_response: Ask the addressee for an answer.
        reply_id: The message that it answers; 0 for none.
        emoji: 1 for a reaction to that message.

    Raises:
        PayloadTooLongError: The payload is longer than 233 bytes.
    """
    if len(payload) > MAX_DATA_PAYLOAD:
        raise PayloadTooLongError(f"{len(payload)} bytes, at most {MAX_DATA_PAYLOAD} fit")
    data = (
        wire.varint_field(1, portnum)
        + _bytes(2, payload)
        + _number(3, want_response)
        + _fixed(7, reply_id)
        + _fixed(8, emoji)
    )
    return (
        wire.fixed32_field(_TO, destination)
        + _number(_CHANNEL, channel)
        + wire.bytes_field(_DECODED, data)
        + wire.fixed32_field(_ID, packet_id)
        + _number(_HOP_LIMIT, hop_limit)
        + _number(_WANT_ACK, want_ack)
        + _number(_PRIORITY, _PRIORITY_RELIABLE if want_ack else 0)
    )


def admin_query(query: admin.AdminQuery, own_num: int, packet_id: int) -> bytes:
    """Return the ``MeshPacket`` that asks the radio itself for one of its settings."""
    return own_packet(
        destination=own_num,
        portnum=admin.PORTNUM,
        payload=query.payload,
        packet_id=packet_id,
        want_response=True,
    )


def _from_own_node(
    own_num: int,
    channel: int,
    data: bytes,
    packet_id: int,
    rx_time: int,
    priority: int,
    *,
    pki_encrypted: bool = False,
) -> bytes:
    packet = (
        wire.fixed32_field(_FROM, own_num)
        + wire.fixed32_field(_TO, own_num)
        + _number(_CHANNEL, channel)
        + wire.bytes_field(_DECODED, data)
        + wire.fixed32_field(_ID, packet_id)
        + _fixed(_RX_TIME, rx_time)
        + _number(_PRIORITY, priority)
        + _number(_PKI_ENCRYPTED, pki_encrypted)
    )
    return wire.bytes_field(2, packet)


def _number(number: int, value: int) -> bytes:
    """Return a `wire.VARINT` field, or nothing for 0."""
    return wire.varint_field(number, value) if value else b""


def _fixed(number: int, value: int) -> bytes:
    """Return a `wire.FIXED32` field, or nothing for 0."""
    return wire.fixed32_field(number, value) if value else b""


def _bytes(number: int, value: bytes) -> bytes:
    """Return a `wire.BYTES` field, or nothing for an empty value."""
    return wire.bytes_field(number, value) if value else b""
