"""Questions of Home Assistant's that end otherwise than in the usual answer."""

import asyncio

import pytest

from custom_components.meshmonitor.mesh.model import Traceroute
from custom_components.meshmonitor.mesh.source import RequestKind, SendError, SendReason
from tests.simulators.meshcore_companion import SimulatedCompanion

from .stage import Stage


def key_of(radio: SimulatedCompanion, name: str) -> str:
    """Return the node id of a peer."""
    return radio.mesh.peer(name).key.hex()


async def test_a_known_path_is_traced(stage: Stage, radio: SimulatedCompanion) -> None:
    """Along the nodes that repeat, there and back, with the signal at each."""
    hall, source = radio.mesh.peer("Town Hall"), stage.source
    await source.request(RequestKind.STATUS, hall.key.hex())
    contacts = source._mirror.contacts
    await stage.until(lambda: (known := contacts.with_prefix(hall.key)) and known[35] == 1)
    trace = await source.request(RequestKind.TRACEROUTE, hall.key.hex())
    assert isinstance(trace, Traceroute)
    (sent,) = radio.mesh.of_kind("trace")
    assert sent.content[4:] == b"\xaa" + hall.key[:1] + b"\xaa"
    assert [(hop.node_id, hop.snr) for hop in trace.towards] == [
        ("aa", 10.0), (hall.key.hex(), 10.25),
    ]  # fmt: skip
    assert [(hop.node_id, hop.snr) for hop in trace.back] == [
        ("aa", 10.5), (radio.device.settings.public_key.hex(), 12.0),
    ]  # fmt: skip


async def test_a_node_that_has_no_position(stage: Stage, radio: SimulatedCompanion) -> None:
    """It answers, but not with that."""
    with pytest.raises(SendError) as caught:
        await stage.source.request(RequestKind.POSITION, key_of(radio, "Ridge"))
    assert (caught.value.reason, caught.value.detail) == (SendReason.NO_ANSWER, "no position")


async def test_a_contact_that_the_radio_does_not_know(
    stage: Stage, radio: SimulatedCompanion
) -> None:
    """The radio refuses, in its own words."""
    bravo = radio.mesh.peer("Bravo")
    del radio.device.contacts[bravo.key]
    with pytest.raises(SendError) as caught:
        await stage.source.request(RequestKind.TELEMETRY, bravo.key.hex())
    assert (caught.value.reason, caught.value.detail) == (SendReason.REFUSED, "not_found")


async def test_a_radio_that_does_not_answer(stage: Stage, radio: SimulatedCompanion) -> None:
    """Nobody waits for ever."""
    radio.faults.mute.add(0x1B)
    with pytest.raises(SendError) as caught:
        await stage.source.request(RequestKind.STATUS, key_of(radio, "Ridge"))
    assert (caught.value.reason, caught.value.detail) == (SendReason.NO_ANSWER, "timeout")


async def test_an_answer_that_cannot_be_read(stage: Stage, radio: SimulatedCompanion) -> None:
    """It is told as what it is."""
    ridge = radio.mesh.peer("Ridge")
    ridge.is_silent = True
    request = asyncio.create_task(stage.source.request(RequestKind.STATUS, ridge.key.hex()))
    await radio.wait_for(lambda: radio.mesh.of_kind("status"))
    radio.device.push(b"\x87\x00" + ridge.key[:6] + b"short")
    with pytest.raises(SendError) as caught:
        await request
    assert (caught.value.reason, caught.value.detail) == (SendReason.NO_ANSWER, "unreadable")
