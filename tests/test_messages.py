"""The last messages are remembered, with what became of them, also over a restart."""

from dataclasses import replace
import json
from typing import Any

from homeassistant.core import HomeAssistant
import pytest

from custom_components.meshmonitor.const import DOMAIN
from custom_components.meshmonitor.mesh.model import (
    Delivery,
    DeliveryState,
    Message,
    MessageKind,
    Origin,
)
from custom_components.meshmonitor.mesh.source import OutgoingText
from custom_components.meshmonitor.messages import MAX_MESSAGES, MessageLog
from tests.ha import coordinator_of, make_entry, set_up, wait_until
from tests.simulators.meshtastic_node import SimulatedNode


def message(number: int, origin: Origin = Origin.RADIO, **changes: Any) -> Message:
    """Return a message."""
    plain = Message(
        message_id=f"{number:08x}",
        kind=MessageKind.CHANNEL,
        origin=origin,
        text=f"text {number}",
        sender_id="!00000001" if origin is Origin.RADIO else "!0000000a",
        sender_name="One",
        channel=0,
        channel_name="LongFast",
        snr=1.25,
        time=1000.0 + number,
    )
    return replace(plain, **changes)


def delivery(number: int, state: DeliveryState, **changes: Any) -> Delivery:
    """Return how far a message came."""
    return Delivery(message_id=f"{number:08x}", state=state, **changes)


def texts(log: MessageLog) -> list[str]:
    """Return what was said."""
    return [logged.message.text for logged in log]


def test_bounded() -> None:
    """The oldest make room, and what became of them goes with them."""
    log = MessageLog()
    for number in range(MAX_MESSAGES + 3):
        log.add(message(number, Origin.HOME_ASSISTANT))
        log.note(delivery(number, DeliveryState.SENT))
    assert len(log) == MAX_MESSAGES
    assert texts(log)[0] == "text 3"
    assert len(log._deliveries) == MAX_MESSAGES
    log.note(delivery(0, DeliveryState.DELIVERED))
    assert len(log._deliveries) == MAX_MESSAGES
    assert log.sent("00000000") is None


def test_a_repeated_message_stays_where_it_is() -> None:
    """A message that is told twice is one; two senders' messages of one id are two."""
    log = MessageLog()
    log.add(message(1))
    log.add(message(2))
    log.add(message(1, text="again"))
    log.add(message(1, sender_id="!00000002", text="another"))
    assert texts(log) == ["text 1", "text 2", "another"]


def test_deliveries() -> None:
    """What was sent from here has come so far; what others sent has not, whatever its id."""
    log = MessageLog()
    log.add(message(1))
    log.add(message(1, Origin.PHONE))
    log.note(delivery(1, DeliveryState.SENT))
    log.note(delivery(1, DeliveryState.FAILED, reason="no_route"))
    log.note(delivery(2, DeliveryState.SENT))
    theirs, ours = log
    assert theirs.delivery is None
    assert ours.delivery is not None
    assert ours.delivery.state is DeliveryState.FAILED
    assert ours.delivery.reason == "no_route"
    assert log.sent("00000001") is ours.message


def test_kept() -> None:
    """Everything survives being written as JSON."""
    log = MessageLog()
    log.add(message(1, is_history=True, via_mqtt=True))
    log.add(message(2, Origin.HOME_ASSISTANT, recipient_id="!00000001", kind=MessageKind.DIRECT))
    log.note(delivery(2, DeliveryState.DELIVERED, recipient_id="!00000001"))
    again = MessageLog()
    again.restore(json.loads(json.dumps(log.snapshot())))
    assert list(again) == list(log)


@pytest.mark.parametrize(
    "damaged",
    [
        None,
        7,
        [1],
        [{"message": {}}],
        [{"message": {}, "delivery": None}],
        [{"message": {"kind": "rumour", "origin": "radio"}, "delivery": None}],
    ],
)
def test_damaged(damaged: object) -> None:
    """What cannot be read is as good as nothing."""
    log = MessageLog()
    log.add(message(1))
    with pytest.raises(ValueError, match="damaged"):
        log.restore(damaged)
    assert len(log) == 0


@pytest.mark.usefixtures("unload")
async def test_over_a_restart(
    hass: HomeAssistant, hass_storage: dict[str, Any], node: SimulatedNode
) -> None:
    """Messages are there again before the radio is."""
    entry = make_entry(node)
    coordinator = await set_up(hass, entry)
    await node.say(node.peer(0).num, "from the mesh")
    await wait_until(lambda: len(coordinator.messages), "the message")
    sent = await coordinator.async_send_text(OutgoingText(text="from here", channel=0))
    await wait_until(
        lambda: (
            (known := coordinator.source.delivery(sent.message_id)) is not None
            and known.state is DeliveryState.RELAYED
        ),
        "the delivery",
    )
    before = list(coordinator.messages)
    assert await hass.config_entries.async_unload(entry.entry_id)
    kept = hass_storage[f"{DOMAIN}.{entry.entry_id}"]["data"]["messages"]
    assert [each["message"]["text"] for each in kept] == ["from the mesh", "from here"]

    node.refuse()
    assert await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    after = coordinator_of(entry)
    assert after is not coordinator
    assert not after.is_available
    assert list(after.messages) == before


@pytest.mark.usefixtures("unload")
async def test_damage_costs_the_messages_alone(
    hass: HomeAssistant,
    hass_storage: dict[str, Any],
    node: SimulatedNode,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Messages that cannot be read are told once; the mesh is known all the same."""
    entry = make_entry(node)
    await set_up(hass, entry)
    assert await hass.config_entries.async_unload(entry.entry_id)
    hass_storage[f"{DOMAIN}.{entry.entry_id}"]["data"]["messages"] = "?"
    node.refuse()
    assert await hass.config_entries.async_setup(entry.entry_id)
    coordinator = coordinator_of(entry)
    assert caplog.text.count("starting empty") == 1
    assert len(coordinator.messages) == 0
    assert len(coordinator.source.nodes) == node.config.nodes
