"""What a decoder makes of recorded and made-up packets."""

from typing import Any

from custom_components.meshmonitor.mesh.model import Message
from custom_components.meshmonitor.meshtastic import packets
from custom_components.meshmonitor.meshtastic.decode import Decoder
from custom_components.meshmonitor.meshtastic.mirror import Mirror
from custom_components.meshmonitor.meshtastic.reports import Decoded
from tests.meshtastic.recorded import NOW, connections, mirror_of, packet_in


def read(decoder: Decoder, payload: bytes, **arguments: Any) -> list[Decoded]:
    """Return what the packet of a ``FromRadio`` says."""
    return decoder.packet(packet_in(payload), NOW, **arguments)


def message(decoder: Decoder, payload: bytes, **arguments: Any) -> Message:
    """Return the message that a packet is."""
    (found,) = read(decoder, payload, **arguments)
    assert isinstance(found, Message)
    return found


def following(version: str) -> tuple[Mirror, Decoder, list[Decoded]]:
    """Return what was made of a whole recorded session."""
    mirror = mirror_of(version)
    decoder = Decoder(mirror)
    found: list[Decoded] = []
    for payload in connections(version)[1].live:
        mirror.live(payload, NOW)
        if packets.variant(payload)[0] == packets.PACKET:
            found += read(decoder, payload)
    assert not decoder.counters
    return mirror, decoder, found
