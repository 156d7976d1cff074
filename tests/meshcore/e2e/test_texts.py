"""Texts of which little is known: what the radio said to them, or what they were."""

import asyncio

import pytest

from custom_components.meshmonitor.mesh.model import DeliveryState
from custom_components.meshmonitor.mesh.source import DeliveryChanged, OutgoingText
from custom_components.meshmonitor.meshcore import deliveries, texts
from tests.simulators.meshcore_companion import SimulatedCompanion

from .stage import Stage


def states(stage: Stage, text: str) -> list[DeliveryState]:
    """Return how far a text came, step by step."""
    told = stage.of_kind(DeliveryChanged)
    (message_id,) = {e.delivery.message_id for e in told if e.message and e.message.text == text}
    return [e.delivery.state for e in told if e.delivery.message_id == message_id]


async def test_an_answer_without_a_number_to_wait_for(
    stage: Stage, radio: SimulatedCompanion
) -> None:
    """The text was sent; that it arrived, nobody can say."""
    radio.faults.mute.add(2)
    bravo = radio.mesh.peer("Bravo").key.hex()
    sending = asyncio.create_task(
        stage.source.send_text(OutgoingText(text="hello", recipient_id=bravo))
    )
    await radio.wait_for(lambda: radio.commands(2))
    radio._emit(b"\x06\x00")
    await sending
    await stage.until(lambda: states(stage, "hello")[-1:] == [DeliveryState.SENT])
    assert not stage.source._texts.deliveries._awaited


async def test_a_text_that_is_forgotten_has_failed(
    stage: Stage, radio: SimulatedCompanion, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only so many are remembered, and what is not cannot be sent again."""
    monkeypatch.setattr(texts, "_REMEMBERED", 1)
    monkeypatch.setattr(deliveries, "TIMEOUT_MARGIN", 0.0)
    radio.mesh.timeout_ms = 200
    bravo = radio.mesh.peer("Bravo")
    bravo.is_silent = True
    for text in ("first", "second"):
        await stage.source.send_text(OutgoingText(text=text, recipient_id=bravo.key.hex()))
    await stage.until(lambda: states(stage, "second")[-1] is DeliveryState.FAILED)
    sent = [transmission.content for transmission in radio.mesh.of_kind("text")]
    assert sent.count(b"first") == 1
    assert states(stage, "first")[-1] is DeliveryState.FAILED
    assert sent.count(b"second") == texts.ATTEMPTS
