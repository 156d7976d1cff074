"""The actions, and the page that tells what the virtual nodes are doing."""

import asyncio
from datetime import datetime
from http import HTTPStatus
from typing import Any

from homeassistant.config_entries import SOURCE_IGNORE, ConfigEntryDisabler
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import ServiceValidationError
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from custom_components.meshmonitor.const import DOMAIN
from tests.ha import make_entry, node_id, set_up, virtual_node, wait_until
from tests.ports import free_port
from tests.simulators.meshtastic_node import SimulatedNode

pytestmark = pytest.mark.usefixtures("unload")

STATUS_URL = "/api/meshmonitor/virtual_node/status"


async def send(hass: HomeAssistant, **data: Any) -> dict[str, Any]:
    """Call the action that sends a text, and return its answer."""
    answer = await hass.services.async_call(
        DOMAIN, "send_text", data, blocking=True, return_response=True
    )
    assert answer is not None
    return dict(answer)


async def test_send_to_channel(hass: HomeAssistant, node: SimulatedNode) -> None:
    """A channel can be named, or given by its index; the answer says how it stands."""
    coordinator = await set_up(hass, make_entry(node))
    for number, channel in enumerate((None, "home", 1, "0"), start=1):
        data: dict[str, Any] = {} if channel is None else {"channel": channel}
        answer = await send(hass, message=f"text {number}", **data)
        assert set(answer) == {"message_id", "delivery", "reason"}
        assert answer["delivery"] in {"queued", "sent"}
        assert coordinator.source.delivery(answer["message_id"]) is not None
    await wait_until(lambda: len(node.texts()) == 4, "the texts")
    sent = {p.decoded.payload.decode(): p.channel for p in node.packets() if p.decoded.payload}
    assert sent == {"text 1": 0, "text 2": 1, "text 3": 1, "text 4": 0}


async def test_send_to_node(hass: HomeAssistant, node: SimulatedNode) -> None:
    """A text to one node, in answer to another."""
    await set_up(hass, make_entry(node))
    peer = node.peer(0)
    answer = await send(hass, message="yes", recipient=f"!{peer.num:08x}", reply_id="01020304")
    await wait_until(lambda: node.texts() == ["yes"], "the text")
    [packet] = [packet for packet in node.packets() if packet.decoded.payload == b"yes"]
    assert packet.to == peer.num
    assert packet.decoded.reply_id == 0x01020304
    assert answer["message_id"]


async def test_send_without_answer(hass: HomeAssistant, node: SimulatedNode) -> None:
    """The answer is for those who ask for it."""
    await set_up(hass, make_entry(node))
    await hass.services.async_call(DOMAIN, "send_text", {"message": "hello"}, blocking=True)
    await wait_until(lambda: node.texts() == ["hello"], "the text")


async def test_send_by_the_chosen_radio(
    hass: HomeAssistant, node: SimulatedNode, other_node: SimulatedNode
) -> None:
    """With two radios, one has to be chosen."""
    await set_up(hass, make_entry(node))
    hill = make_entry(other_node, title="Hill")
    await set_up(hass, hill)
    with pytest.raises(ServiceValidationError):
        await send(hass, message="who?")
    await send(hass, message="hill", config_entry_id=hill.entry_id)
    await wait_until(lambda: other_node.texts() == ["hill"], "the text")
    assert not node.texts()


@pytest.mark.parametrize(
    ("data", "key"),
    [
        ({"channel": "Nowhere"}, "send_unknown_channel"),
        ({"channel": "7"}, "send_unknown_channel"),
        ({"recipient": "!deadbeef"}, "send_unknown_node"),
        ({"recipient": "the neighbour"}, "send_unknown_node"),
        ({"message": "x" * 300}, "send_message_too_long"),
    ],
)
async def test_send_refused(
    hass: HomeAssistant, node: SimulatedNode, data: dict[str, Any], key: str
) -> None:
    """What cannot be sent is refused with a reason, and nothing is sent."""
    await set_up(hass, make_entry(node))
    with pytest.raises(ServiceValidationError) as error:
        await send(hass, **{"message": "text", **data})
    assert error.value.translation_domain == DOMAIN
    assert error.value.translation_key == key
    assert not node.texts()


async def test_send_without_radio(hass: HomeAssistant) -> None:
    """Actions are there with the integration, whether a source is or not."""
    assert await async_setup_component(hass, DOMAIN, {})
    with pytest.raises(ServiceValidationError):
        await send(hass, message="hello")


async def test_status(
    hass: HomeAssistant,
    hass_client: ClientSessionGenerator,
    node: SimulatedNode,
    other_node: SimulatedNode,
) -> None:
    """Page and action tell the same of every source, whatever it is doing."""
    port = free_port()
    base = make_entry(node, options=virtual_node(port))
    coordinator = await set_up(hass, base)
    hill = make_entry(other_node, title="Hill")
    await set_up(hass, hill)
    at_rest = MockConfigEntry(
        domain=DOMAIN,
        title="Rest",
        unique_id="!0000beef",
        data={**base.data, "port": 1},
        options={"virtual_node": {"enabled": True, "port": 4777}},
        disabled_by=ConfigEntryDisabler.USER,
    )
    at_rest.add_to_hass(hass)
    damaged = MockConfigEntry(domain=DOMAIN, title="Damaged", unique_id="!00000bad", data={})
    damaged.add_to_hass(hass)
    MockConfigEntry(
        domain=DOMAIN, unique_id="!0000dead", source=SOURCE_IGNORE, data={}
    ).add_to_hass(hass)
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    await wait_until(lambda: coordinator.source.virtual_node.clients)

    client = await hass_client()
    response = await client.get(STATUS_URL)
    assert response.status == HTTPStatus.OK
    told = await response.json()
    [connected] = coordinator.source.virtual_node.clients.values()
    [shown] = told["sources"][0]["clients"]
    for key, expected in (
        ("connectedAt", connected.connected_at),
        ("lastActivity", connected.last_activity),
    ):
        moment = datetime.fromisoformat(shown.pop(key))
        assert moment.tzname() == "UTC"
        assert moment.timestamp() == pytest.approx(expected, abs=0.01)
    assert told == {
        "sources": [
            {
                "sourceId": base.entry_id,
                "sourceName": "Base",
                "enabled": True,
                "isRunning": True,
                "port": port,
                "clientCount": 1,
                "clients": [{"id": connected.client_id, "ip": "127.0.0.1"}],
            },
            {
                "sourceId": hill.entry_id,
                "sourceName": "Hill",
                "enabled": False,
                "isRunning": False,
                "port": 4404,
                "clientCount": 0,
                "clients": [],
            },
            {
                "sourceId": at_rest.entry_id,
                "sourceName": "Rest",
                "enabled": True,
                "isRunning": False,
                "port": 4777,
                "clientCount": 0,
                "clients": [],
            },
            {
                "sourceId": damaged.entry_id,
                "sourceName": "Damaged",
                "enabled": False,
                "isRunning": False,
                "port": 0,
                "clientCount": 0,
                "clients": [],
            },
        ]
    }
    answer = await hass.services.async_call(
        DOMAIN, "get_virtual_node_status", {}, blocking=True, return_response=True
    )
    assert answer == await (await client.get(STATUS_URL)).json()
    writer.close()
    await writer.wait_closed()


async def test_status_is_for_those_who_are_logged_in(
    hass: HomeAssistant, hass_client_no_auth: ClientSessionGenerator, node: SimulatedNode
) -> None:
    """Nobody else learns who is connected."""
    await set_up(hass, make_entry(node, options=virtual_node()))
    client = await hass_client_no_auth()
    response = await client.get(STATUS_URL)
    assert response.status == HTTPStatus.UNAUTHORIZED
    assert node_id(node) not in await response.text()
