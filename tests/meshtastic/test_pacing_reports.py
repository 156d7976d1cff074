"""A port's window counts from when the radio has said that it took a packet."""

from custom_components.meshmonitor.meshtastic.pacing import LEAST_GAP, PORT, WINDOW_MARGIN, Pacer
from tests.meshtastic.parcels import FREE, fill, parcel


def test_a_window_counts_from_the_radios_report() -> None:
    """The radio measures from when it read a packet, which may be long after that was sent."""
    pacer = Pacer()
    fill(pacer, parcel(1), parcel(2), parcel(3, FREE))
    first = pacer.take(0.0)
    assert first is not None
    pacer.await_report(first)
    other = pacer.take(LEAST_GAP)
    assert other is not None
    assert other.portnum == FREE, "nothing else waits"
    assert pacer.take(100.0) is None
    assert pacer.accepts("b", PORT.TEXT_MESSAGE_APP, 100.0)
    pacer.reported(1, 100.0)
    assert pacer.take(102.0) is None
    second = pacer.take(102.0 + WINDOW_MARGIN)
    assert second is not None
    assert second.packet_id == 2


def test_a_new_session_waits_for_no_report_of_the_last_one() -> None:
    """What was never reported on is sent again, or is lost."""
    pacer = Pacer()
    fill(pacer, parcel(1), parcel(2))
    first = pacer.take(0.0)
    assert first is not None
    pacer.await_report(first)
    pacer.session_started(50.0)
    assert pacer.take(50.0) is not None
