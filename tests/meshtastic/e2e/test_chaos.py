"""Several phones that talk while the radio fails in every way: what must hold in the end, holds."""

import asyncio
import random

import pytest

from custom_components.meshmonitor.mesh.source import OutgoingText
from custom_components.meshmonitor.meshtastic import pacing
from tests.meshtastic.e2e.conftest import OpenStage
from tests.meshtastic.e2e.stage import PORT, Stage
from tests.simulators import meshtastic_phone_api
from tests.simulators.meshtastic_config import Flavour, NodeConfig
from tests.simulators.meshtastic_faults import Cut

PHONES = 4
TEXTS = 6


async def _fail(stage: Stage, rng: random.Random) -> None:
    """Let something go wrong, and be over."""
    node = stage.node
    match rng.randrange(6):
        case 0:
            node.drop(reset=rng.random() < 0.5)
        case 1:
            await node.reboot(rng.random() / 20)
        case 2:
            node.faults.cut = Cut(after_frames=rng.randrange(50), times=1)
            node.drop()
        case 3:
            node.faults.mute = True
            await asyncio.sleep(rng.random() / 20)
            node.faults.mute = False
            node.pump()
        case 4:
            await node.send_junk(rng.randbytes(30))
        case 5:
            await node.send_oversize_frame()


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("flavour", ["2.7", "2.8"])
async def test_nothing_is_lost_and_nothing_comes_twice(
    open_stage: OpenStage, monkeypatch: pytest.MonkeyPatch, flavour: Flavour, seed: int
) -> None:
    """Each text reaches the radio, its report its sender, and its echo each other phone, once."""
    for module in (pacing, meshtastic_phone_api):
        monkeypatch.setattr(module, "WINDOWS", {PORT.TEXT_MESSAGE_APP: 0.02})
    monkeypatch.setattr(pacing, "WINDOW_MARGIN", 0.02)
    monkeypatch.setattr("custom_components.meshmonitor.mesh.link.CONTENDED_DELAY", 0.02)
    monkeypatch.setattr(
        "custom_components.meshmonitor.meshtastic.session.PARTIAL_FRAME_TIMEOUT", 0.1
    )
    rng = random.Random(seed)
    stage = await open_stage(NodeConfig(flavour=flavour, ack_delay=0.005))
    phones = [await stage.phone(nonce=nonce) for nonce in (1, 69420, 0, 69421)]
    ids: dict[str, int] = {}

    async def talk(number: int) -> None:
        for count in range(TEXTS):
            text = f"{number}.{count}"
            ids[text] = phones[number].send_text(text)
            await asyncio.sleep(rng.random() / 20)

    async def fail() -> None:
        for _ in range(8):
            await asyncio.sleep(rng.random() / 20)
            await _fail(stage, rng)

    async def automate() -> None:
        for count in range(TEXTS):
            await stage.source.send_text(OutgoingText(text=f"home.{count}"))
            await asyncio.sleep(rng.random() / 20)

    await asyncio.gather(*map(talk, range(PHONES)), fail(), automate())
    said = {*ids, *(f"home.{count}" for count in range(TEXTS))}
    own = [{f"{number}.{count}" for count in range(TEXTS)} for number in range(PHONES)]
    await stage.until(lambda: set(stage.node.texts()) == said, 30)
    for number, phone in enumerate(phones):
        others = said - own[number]
        await phone.wait_for(lambda phone=phone, others=others: set(phone.texts()) >= others)  # type: ignore[misc]
    await stage.until(lambda: stage.source.link.is_ready)
    await stage.settle()
    for number, phone in enumerate(phones):
        assert sorted(phone.texts()) == sorted(said - own[number])
        for text in own[number]:
            assert len(phone.queue_statuses(ids[text])) == 1
        assert {s.mesh_packet_id for s in phone.queue_statuses()} == {ids[t] for t in own[number]}
        assert not phone.closed
        assert phone.notifications() == []
    assert not any(key.startswith("rate_limited") for key in stage.node.tally)
    assert stage.node.tally["overlapping_requests"] == 0
    assert stage.source.counters["queue_length"] == 0
