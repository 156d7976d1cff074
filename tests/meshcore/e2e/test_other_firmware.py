"""A companion of another implementation: real packets, other habits."""

from collections.abc import AsyncIterator

import pytest

from custom_components.meshmonitor.mesh.source import MessageReceived, OutgoingText
from tests.simulators.meshcore_pymc import PymcPair

from .conftest import OpenStage
from .test_checks import post


@pytest.fixture
async def pair(socket_enabled: None) -> AsyncIterator[PymcPair]:
    """Return a companion with one neighbour, and a heartbeat each second."""
    async with PymcPair(heartbeat=1) as nodes:
        yield nodes


async def test_it_is_shared_like_any_other(pair: PymcPair, open_stage: OpenStage) -> None:
    """Read, served, its commands that it does not know refused, its heartbeat absorbed."""
    stage = await open_stage(pair)
    source = stage.source
    assert source.identity is not None
    assert source.identity.node_id == pair.companion.get_public_key().hex()
    assert {node.name for node in source.nodes.values()} == {"Alpha", "Bravo"}
    first, second = await stage.app(name="a"), await stage.app(name="b", version=1)
    assert first.replies[0][1] == 11
    neighbour = pair.neighbour.get_public_key()
    assert [frame[1:33] for frame in (await first.contacts())[1:-1]] == [neighbour]
    assert await first.ask(b"\x2b") == b"\x01\x01"
    assert await first.ask(b"\x17") == b"\x0f"
    await pair.neighbour.send_text_message(pair.companion.get_public_key(), "to alpha")
    for app, code, offset in ((first, 16, 16), (second, 7, 13)):
        await app.push(0x83)
        (frame,) = await app.drain()
        assert (frame[0], frame[offset:]) == (code, b"to alpha")
    (event,) = stage.of_kind(MessageReceived)
    assert (event.message.text, event.message.sender_name) == ("to alpha", "Bravo")
    await stage.until(lambda: source.counters["responses_absorbed"])
    assert (await first.ask(b"\x05"))[0] == 9
    await stage.stop()


async def test_texts_go_out_over_its_air(pair: PymcPair, open_stage: OpenStage) -> None:
    """From a phone and from Home Assistant, encrypted and decrypted by that implementation."""
    stage = await open_stage(pair)
    app = await stage.app()
    for node in (pair.companion, pair.neighbour):
        node.set_channel(1, "garden", bytes(range(16)))
    neighbour = pair.neighbour.get_public_key()
    stamp = int.from_bytes((await app.ask(b"\x05"))[1:5], "little").to_bytes(4, "little")
    sent = await app.ask(b"\x02\x00\x00" + stamp + neighbour[:6] + b"from a phone")
    assert sent[0] == 6
    assert await app.ask(post(b"to the garden", int.from_bytes(stamp, "little"), 1)) == b"\x00"
    await stage.source.send_text(OutgoingText(text="from home", recipient_id=neighbour.hex()))
    heard: list[str] = []

    def is_all_heard() -> bool:
        while (message := pair.neighbour.sync_next_message()) is not None:
            heard.append(message.text)
        return len(heard) >= 3

    await stage.until(is_all_heard)
    assert sorted(heard) == ["Alpha: to the garden", "from a phone", "from home"]
    await stage.stop()
