"""What gives way in the outbox: for who has less waiting, and for what is newer."""

import asyncio

from meshtastic.protobuf import mesh_pb2
import pytest

from custom_components.meshmonitor.mesh.model import DeliveryState
from custom_components.meshmonitor.meshtastic.decision import RoutingError
from custom_components.meshmonitor.meshtastic.outbox import Admission
from custom_components.meshmonitor.meshtastic.pacing import PORT
from tests.meshtastic.receiver import Radio

FAILED = DeliveryState.FAILED


async def test_nobody_is_kept_out(radio: Radio) -> None:
    """Whoever has the most waiting makes room for another, and is told of what was given up."""
    radio.outbox.close()
    for packet_id in range(1, 5):
        radio.submit(packet_id, PORT.TRACEROUTE_APP, sender="busy")
    assert radio.submit(5, PORT.TRACEROUTE_APP, sender="busy") is Admission.FULL
    assert radio.submit(6, PORT.TRACEROUTE_APP, sender="quiet") is Admission.QUEUED
    assert radio.changes == [(4, FAILED, False)]
    assert radio.error(4) == RoutingError.RATE_LIMIT_EXCEEDED
    assert radio.submit(7, PORT.TRACEROUTE_APP, sender="quiet") is Admission.QUEUED
    assert radio.changes[1:] == [(3, FAILED, False)]
    # Two each: it would be no fairer the other way round.
    assert radio.submit(8, PORT.TRACEROUTE_APP, sender="quiet") is Admission.FULL
    assert radio.submit(9, PORT.TRACEROUTE_APP, sender="busy") is Admission.FULL
    radio.outbox.open()
    await asyncio.sleep(120)
    assert radio.ids == [1, 6, 2, 7]
    assert radio.outbox.counters == {"displaced": 2, "outbox_full": 3, "sent": 4}


def _position(latitude: int, *, want_response: bool = False) -> bytes:
    packet = mesh_pb2.MeshPacket()
    packet.decoded.portnum = PORT.POSITION_APP
    packet.decoded.payload = mesh_pb2.Position(latitude_i=latitude).SerializeToString()
    packet.decoded.want_response = want_response
    return packet.SerializeToString()


async def test_the_newest_position_is_lent(radio: Radio) -> None:
    """A phone tells more often where it is than the radio takes it: only the newest waits."""
    for packet_id in range(1, 31):
        taken = radio.submit(packet_id, PORT.POSITION_APP, raw=_position(packet_id))
        assert taken is Admission.QUEUED
        assert len(radio.outbox) <= 1
        await asyncio.sleep(5)
    await asyncio.sleep(30)
    assert len(radio.ids) == pytest.approx(15, abs=1)
    assert radio.ids[-1] == 30
    late = [at - 5 * (packet_id - 1) for at, packet_id in radio.sent]
    assert max(late) < 10, "none of them is old"
    given_up = [packet_id for packet_id, state, _ in radio.changes if state is FAILED]
    assert sorted([*radio.ids, *given_up]) == list(range(1, 31))
    assert {radio.error(packet_id) for packet_id in given_up} == {RoutingError.RATE_LIMIT_EXCEEDED}
    assert radio.outbox.counters["outdated"] == len(given_up)


async def test_only_the_same_is_outdated(radio: Radio) -> None:
    """Neither another sender's position, nor one for another node, nor a question."""
    radio.outbox.close()
    radio.submit(1, PORT.POSITION_APP, raw=_position(1))
    radio.submit(2, PORT.POSITION_APP, raw=_position(2), sender="other")
    radio.submit(3, PORT.POSITION_APP, raw=_position(3, want_response=True))
    radio.submit(4, PORT.POSITION_APP, raw=_position(4), destination=7)
    assert len(radio.outbox) == 4
    radio.submit(5, PORT.POSITION_APP, raw=_position(5, want_response=True))
    assert len(radio.outbox) == 5
    radio.submit(6, PORT.POSITION_APP, raw=_position(6))
    assert len(radio.outbox) == 5
    assert radio.state(1) is FAILED
    radio.outbox.open()
    await asyncio.sleep(60)
    assert radio.ids == [6, 2, 3, 4, 5], "it has the place of the one that is outdated"
