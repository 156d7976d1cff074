"""Packets that wait for their turn, and what a patient radio makes of them."""

from typing import Final

from custom_components.meshmonitor.meshtastic.pacing import PORT, QUEUE_LENGTH, Pacer, Parcel

RADIO_WINDOWS: Final[dict[int, float]] = {
    PORT.TEXT_MESSAGE_APP: 2.0,
    PORT.TRACEROUTE_APP: 30.0,
    PORT.POSITION_APP: 10.0,
    PORT.WAYPOINT_APP: 10.0,
    PORT.ALERT_APP: 10.0,
    PORT.TELEMETRY_APP: 10.0,
}
"""What the firmware refuses, whatever the code under test believes."""
FREE: Final = PORT.PRIVATE_APP
"""A port number without a window."""


def parcel(packet_id: int, portnum: int = PORT.TEXT_MESSAGE_APP, sender: str = "a") -> Parcel:
    """Return one packet."""
    return Parcel(packet_id=packet_id, portnum=portnum, sender=sender, payload=b"frame")


def fill(pacer: Pacer, *parcels: Parcel, now: float = 0.0) -> None:
    """Queue packets that there is room for."""
    for one in parcels:
        assert pacer.accepts(one.sender, one.portnum, now)
        pacer.put(one, now)


def drain(pacer: Pacer, now: float = 0.0, *, free: int | None = QUEUE_LENGTH) -> dict[int, float]:
    """Return when each packet goes out, by id, to a radio that says so much about its room."""
    sent: dict[int, float] = {}
    while (due := pacer.next_due(now, can_send=True)) is not None:
        now += due + 1e-6
        assert not pacer.expired(now), "nothing may wait in vain here"
        while (taken := pacer.take(now)) is not None:
            sent[taken.packet_id] = round(now, 3)
            if free is not None:
                pacer.queue_status(free, now)
    return sent
