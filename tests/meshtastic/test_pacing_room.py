"""Who gives way where not all that is to be sent has room."""

from custom_components.meshmonitor.meshtastic.pacing import (
    MAX_QUEUED,
    MAX_QUEUED_PER_SENDER,
    PATIENCE,
    PORT,
    Pacer,
)
from tests.meshtastic.parcels import FREE, drain, fill, parcel


def test_room_is_made_for_who_has_less() -> None:
    """Who has the most waiting gives up its last, down to the share of the others."""
    pacer = Pacer()
    port = PORT.TRACEROUTE_APP
    fill(pacer, *(parcel(index, port, "a") for index in range(4)))
    fill(pacer, parcel(10, FREE, "a"), parcel(11, FREE, "a"), parcel(12, sender="c"))
    given_up = []
    for sender in "abbbcc":
        assert not pacer.accepts(sender, port, 0.0)
        gone = pacer.make_room(sender, port, 0.0)
        given_up.append(gone and gone.packet_id)
        if gone is not None:
            fill(pacer, parcel(20 + len(given_up), port, sender))
    assert given_up == [None, 3, 2, None, 1, None]
    assert pacer.accepts("b", PORT.TEXT_MESSAGE_APP, 0.0)
    sent = drain(pacer)
    assert {packet_id for packet_id in sent if packet_id not in (10, 11, 12)} == {0, 22, 23, 25}
    assert max(sent.values()) < PATIENCE[port]


def test_room_is_made_in_a_full_queue() -> None:
    """Where there is no room for anything, whatever is the last of the greediest gives way."""
    pacer = Pacer()
    for index in range(MAX_QUEUED):
        fill(pacer, parcel(index, FREE, sender="abcd"[index % 4]))
    gone = pacer.make_room("newcomer", PORT.ROUTING_APP, 0.0)
    assert gone is not None
    assert gone.packet_id >= MAX_QUEUED - 4
    fill(pacer, parcel(5000, PORT.ROUTING_APP, "newcomer"))
    assert len(pacer) == MAX_QUEUED
    full = next(sender for sender in "abcd" if pacer.waiting(sender, FREE)[-1] >= MAX_QUEUED - 4)
    assert len(pacer.waiting(full, FREE)) == MAX_QUEUED_PER_SENDER
    assert pacer.make_room(full, FREE, 0.0) is None, "its own bound stays"


def test_room_that_would_not_be_enough() -> None:
    """What was put back may be more than fits: then nobody gives up anything in vain."""
    pacer = Pacer()
    port = PORT.TRACEROUTE_APP
    for index in range(6):
        pacer.put_back(parcel(index, port))
    assert pacer.make_room("b", port, 0.0) is None
    assert len(pacer) == 6


def test_replace() -> None:
    """The newer one has the older one's place, and time of its own."""
    pacer = Pacer()
    port = PORT.POSITION_APP
    fill(pacer, parcel(1, port), parcel(2, FREE), parcel(3, port), parcel(4, port, "b"))
    assert pacer.waiting("a", port) == [1, 3]
    assert pacer.waiting("nobody", port) == []
    pacer.replace(1, parcel(9, port), 50.0)
    assert len(pacer) == 4
    assert [late.packet_id for late in pacer.expired(PATIENCE[port])] == [3, 4]
    assert list(drain(pacer, 61.0)) == [2, 9]
