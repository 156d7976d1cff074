"""A message counts as fetched when it has arrived, and a place in the inbox goes to a successor."""

import asyncio
import socket

import pytest

from custom_components.meshmonitor.mesh import client
from custom_components.meshmonitor.mesh.model import DeliveryState
from custom_components.meshmonitor.mesh.source import DeliveryChanged, MessageReceived
from tests.simulators.meshcore_companion import SimulatedCompanion

from .stage import Stage

GREETING = b"<\x02\x00\x16\x03" + b"<\x0b\x00\x01\x03      app"
CONTACTS = b"<\x01\x00\x04"
FETCH = b"<\x01\x00\x0a"


async def _say(stage: Stage, radio: SimulatedCompanion, text: bytes) -> None:
    told = len(stage.of_kind(MessageReceived))
    radio.device.inbox.put(b"\x08\x00\x01\x00" + bytes(3) + bytes([told]) + b"Bravo: " + text)
    radio.inject(b"\x83")
    await stage.until(lambda: len(stage.of_kind(MessageReceived)) > told)


async def _gone_phone(stage: Stage) -> socket.socket:
    """Connect an app that does its greeting and is out of reach from then on."""
    gone = socket.socket()
    gone.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    gone.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(gone, ("127.0.0.1", stage.port))
    await loop.sock_sendall(gone, GREETING + CONTACTS * 60)
    await stage.until(lambda: stage.source.virtual_node.clients)
    (there,) = stage.source.virtual_node.clients.values()
    await stage.until(lambda: there.position - there.acknowledged > 4096)
    return gone


async def test_a_message_that_never_arrived_is_fetched_again(
    stage: Stage, radio: SimulatedCompanion
) -> None:
    """What was fetched by a phone that is gone is there for its next connection."""
    gone = await _gone_phone(stage)
    await _say(stage, radio, b"lost")
    await asyncio.get_running_loop().sock_sendall(gone, FETCH)
    inbox = stage.source._switchboard.inbox
    await stage.until(lambda: not inbox.waiting("127.0.0.1/app"))
    gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    gone.close()
    await stage.until(lambda: not stage.source.virtual_node.clients)
    back = await stage.app()
    assert [frame[-4:] for frame in await back.drain()] == [b"lost"]
    assert await back.drain() == []


async def test_a_successor_takes_the_place_of_a_phone_that_has_gone(
    stage: Stage, radio: SimulatedCompanion, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An app that comes back before its old connection has ended finds what it missed, once."""
    monkeypatch.setattr(client, "OVERDUE", 0.0)
    gone = await _gone_phone(stage)
    await _say(stage, radio, b"missed")
    back = await stage.app()
    assert [frame[-6:] for frame in await back.drain()] == [b"missed"]
    gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    gone.close()
    await stage.until(lambda: len(stage.source.virtual_node.clients) == 1)
    await _say(stage, radio, b"seen")
    assert [frame[-4:] for frame in await back.drain()] == [b"seen"]
    await back.close()
    await stage.until(lambda: not stage.source.virtual_node.clients)
    again = await stage.app()
    assert await again.drain() == []


@pytest.mark.parametrize("leaves_first", ["the old one", "the new one"])
async def test_a_successor_that_came_too_early_to_tell_finds_nothing_twice(
    stage: Stage,
    radio: SimulatedCompanion,
    monkeypatch: pytest.MonkeyPatch,
    leaves_first: str,
) -> None:
    """An app that is back before its old connection looks dead is known as itself afterwards."""
    monkeypatch.setattr(client, "OVERDUE", 3600.0)
    gone = await _gone_phone(stage)
    back = await stage.app()
    monkeypatch.setattr(client, "OVERDUE", 0.0)
    await _say(stage, radio, b"seen")
    back.send(b"\x03\x00\x00" + bytes(4) + b"own")
    assert (await back.take())[0] == b"\x00"
    assert [frame[-4:] for frame in await back.drain()] == [b"seen"]
    if leaves_first == "the old one":
        gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        gone.close()
        await stage.until(lambda: len(stage.source.virtual_node.clients) == 1)
    await back.close()
    await stage.until(lambda: len(stage.source.virtual_node.clients) == int(gone.fileno() >= 0))
    await _say(stage, radio, b"away")
    again = await stage.app()
    gone.close()
    assert [frame[-4:] for frame in await again.drain()] == [b"away"]


async def test_two_apps_of_one_name_keep_their_places_when_one_leaves(
    stage: Stage, radio: SimulatedCompanion
) -> None:
    """Whichever it is: what it misses waits for it, and the other gets nothing twice."""
    one, two = await stage.app(), await stage.app()
    await one.close()
    await stage.until(lambda: len(stage.source.virtual_node.clients) == 1)
    await _say(stage, radio, b"text")
    assert [frame[-4:] for frame in await two.drain()] == [b"text"]
    back = await stage.app()
    assert [frame[-4:] for frame in await back.drain()] == [b"text"]
    assert await two.drain() == []


async def test_a_text_whose_sender_has_left_is_not_shown_to_it(
    stage: Stage, radio: SimulatedCompanion
) -> None:
    """It left before the radio had said that the text was sent: only the others are shown it."""
    sender, other = await stage.app(name="a"), await stage.app(name="b")
    radio.faults.delay = 0.2
    sender.send(b"\x03\x00\x00" + bytes(4) + b"mine")
    await stage.until(lambda: stage.of_kind(DeliveryChanged))
    # What the source itself had asked before has been answered, and the text is on its way to the
    # radio.
    await stage.until(lambda: stage.source.counters["queue_length"] == 0)
    await sender.close()
    await other.push(0x83)
    assert [frame[-4:] for frame in await other.drain()] == [b"mine"]
    back = await stage.app(name="a")
    assert await back.drain() == []


async def test_a_text_that_waits_when_its_sender_leaves_has_failed(
    stage: Stage, radio: SimulatedCompanion
) -> None:
    """It is not sent any more, and that is told."""
    first, sender = await stage.app(name="a"), await stage.app(name="b")
    radio.faults.mute.add(0x3C)
    first.send(b"\x3c")
    await radio.wait_for(lambda: radio.commands(0x3C))
    sender.send(b"\x03\x00\x00" + bytes(4) + b"late")
    await stage.until(lambda: stage.source.counters["queue_length"])
    await sender.close()
    await stage.until(lambda: len(stage.of_kind(DeliveryChanged)) == 2)
    delivery = stage.of_kind(DeliveryChanged)[-1].delivery
    assert (delivery.state, delivery.reason) == (DeliveryState.FAILED, "expired")
    assert (await first.take())[0] == b"\x01\x04"
    assert radio.commands(3) == []


async def test_two_apps_of_one_name_have_places_of_their_own(
    stage: Stage, radio: SimulatedCompanion
) -> None:
    """Two apps of one name that are both there get every message."""
    one, two = await stage.app(), await stage.app()
    await _say(stage, radio, b"both")
    for app in (one, two):
        assert [frame[-4:] for frame in await app.drain()] == [b"both"]
