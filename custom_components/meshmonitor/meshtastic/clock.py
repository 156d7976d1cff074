"""Gives a radio the time that has none, as every app does that connects to it.

Clients' own words about the time go no further than here: Home Assistant's clock is the better one.
A radio without satellites and network would have no other, and would know of no node when it was
heard.
"""

from typing import Final

from . import admin, nodes, replies, wire
from .mirror_state import MirrorState
from .outbox import Outbox, Outgoing

TOLERANCE: Final = 300.0
"""Seconds that a radio's clock may be behind; reading its configuration takes some of them."""
_SENDER: Final = "clock"
"""The outbox's name for it: its own turn beside the clients'."""


def is_behind(state: MirrorState, now: float) -> bool:
    """Return whether the radio does not know the time yet.

    One that is ahead is left alone: it may be Home Assistant that has just been started.

    Args:
        state: What it has just told of itself. The time at which it was heard is its present: 0
            where it has none (``refreshLocalMeshNode``, firmware ``src/mesh/MeshService.cpp``).
        now: The present, Unix seconds.
    """
    return now - state.own.number(nodes.LAST_HEARD) > TOLERANCE


def tell(outbox: Outbox, own_num: int, packet_id: int, now: float) -> None:
    """Tell the radio the time. What it has from satellites it keeps, for half an hour at least.

    Args:
        outbox: The way to the radio.
        own_num: The radio's number.
        packet_id: An id for the packet.
        now: The present, Unix seconds.
    """
    payload = wire.fixed32_field(admin.SET_TIME_ONLY, int(now))
    raw = replies.own_packet(
        destination=own_num, portnum=admin.PORTNUM, payload=payload, packet_id=packet_id
    )
    outgoing = Outgoing(
        packet_id=packet_id,
        portnum=admin.PORTNUM,
        sender=_SENDER,
        destination=own_num,
        channel=0,
        raw=raw,
        payload=payload,
        want_ack=False,
        # When the radio comes back it is told the time of then.
        repeatable=False,
    )
    outbox.submit(outgoing, replies.for_radio(raw, packet_id))
