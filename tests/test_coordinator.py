"""What happens in a mesh reaches those whom it concerns, and what is wrong reaches the owner."""

import asyncio
from dataclasses import replace

from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.helpers import device_registry as dr, issue_registry as ir
import pytest

from custom_components.meshmonitor.const import DOMAIN
from custom_components.meshmonitor.coordinator import AvailabilityChanged
from custom_components.meshmonitor.mesh.model import Channel, Node
from custom_components.meshmonitor.mesh.source import (
    ChannelsChanged,
    IdentityChanged,
    NodeChanged,
    NodeRemoved,
    OutgoingText,
    Problem,
    ProblemChanged,
    SendReason,
)
from tests.ha import (
    coordinator_of,
    make_entry,
    node_id,
    set_up,
    set_up_without_radio,
    virtual_node,
    wait_until,
)
from tests.ports import free_port
from tests.simulators.meshtastic_node import SimulatedNode

pytestmark = pytest.mark.usefixtures("unload")

VIRTUAL_NODE_MODULE = "custom_components.meshmonitor.mesh.virtual_node"
LINK_MODULE = "custom_components.meshmonitor.mesh.link"


def issue(hass: HomeAssistant, key: str, entry_id: str) -> ir.IssueEntry | None:
    """Return a repair issue of an entry, if there is one."""
    return ir.async_get(hass).async_get_issue(DOMAIN, f"{key}_{entry_id}")


async def test_events_reach_whom_they_concern(hass: HomeAssistant, node: SimulatedNode) -> None:
    """Who listens for one node hears of no other; who stops listening hears nothing."""
    coordinator = await set_up(hass, make_entry(node))
    of_one: list[str] = []
    of_all: list[str] = []
    gone: list[str] = []
    end_one = coordinator.subscribe(
        NodeChanged, lambda event: of_one.append(event.node.node_id), node_id="!00000001"
    )
    end_all = coordinator.subscribe(NodeChanged, lambda event: of_all.append(event.node.node_id))
    end_gone = coordinator.subscribe(
        NodeRemoved, lambda event: gone.append(event.node_id), node_id="!00000001"
    )
    for number in (1, 2):
        coordinator.source.emit(NodeChanged(Node(node_id=f"!0000000{number}"), is_new=True))
        coordinator.source.emit(NodeRemoved(f"!0000000{number}"))
    assert of_one == ["!00000001"]
    assert of_all == ["!00000001", "!00000002"]
    assert gone == ["!00000001"]
    for end in (end_one, end_all, end_gone):
        end()
    coordinator.source.emit(NodeChanged(Node(node_id="!00000001"), is_new=False))
    assert len(of_one) + len(of_all) == 3


async def test_a_packet_writes_no_unconcerned_state(
    hass: HomeAssistant, node: SimulatedNode
) -> None:
    """A packet of a node changes no state of the radio's own entities, nor of another node's."""
    coordinator = await set_up(hass, make_entry(node))
    # The first one brings it online, which the radio's figures show.
    node_id = f"!{node.peer(3).num:08x}"
    await node.send_node_info(node.peer(3).num)
    await wait_until(lambda: coordinator.presence.is_online(node_id))
    await hass.async_block_till_done()
    before = {state.entity_id: state.last_reported for state in hass.states.async_all()}
    heard: list[NodeChanged] = []
    coordinator.subscribe(NodeChanged, heard.append)
    await node.send_node_info(node.peer(3).num)
    await wait_until(lambda: heard)
    await hass.async_block_till_done()
    after = {state.entity_id: state.last_reported for state in hass.states.async_all()}
    assert after == before


async def test_a_listeners_fault_harms_nobody(
    hass: HomeAssistant, node: SimulatedNode, caplog: pytest.LogCaptureFixture
) -> None:
    """The link's reader stands behind every call: it goes on, and so do the others."""
    coordinator = await set_up(hass, make_entry(node))
    heard: list[ChannelsChanged] = []

    def fail(event: ChannelsChanged) -> None:
        raise RuntimeError("a fault of an entity")

    coordinator.subscribe(ChannelsChanged, fail)
    coordinator.subscribe(ChannelsChanged, heard.append)
    coordinator.source.emit(ChannelsChanged())
    assert heard == [ChannelsChanged()]
    assert "a fault of an entity" in caplog.text
    assert coordinator.is_available


async def test_availability_is_told_once(hass: HomeAssistant, node: SimulatedNode) -> None:
    """A loss is one piece of news, however many attempts follow."""
    coordinator = await set_up(hass, make_entry(node))
    heard: list[bool] = []
    coordinator.subscribe(AvailabilityChanged, lambda event: heard.append(event.is_available))
    node.refuse()
    node.drop()
    await wait_until(lambda: coordinator.source.link.failures > 1)
    assert heard == [False]
    await node.listen()
    await wait_until(lambda: coordinator.is_available)
    assert heard == [False, True]


async def test_radio_renamed(hass: HomeAssistant, node: SimulatedNode) -> None:
    """The device is called what the radio calls itself."""
    coordinator = await set_up(hass, make_entry(node))
    node.state.user.long_name = "Renamed Base"
    await node.reboot()
    registry = dr.async_get(hass)

    def name() -> str | None:
        device = registry.async_get(coordinator.device_id)
        return None if device is None else device.name

    await wait_until(lambda: name() == "Renamed Base", "the new name")
    assert coordinator.entry.title == "Base"


async def test_port_taken(
    hass: HomeAssistant, node: SimulatedNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A port that is taken is the owner's business, and harms nothing else; it heals by itself."""
    monkeypatch.setattr(f"{VIRTUAL_NODE_MODULE}.BIND_RETRY", 0.05)
    port = free_port()
    stranger = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", port)
    entry = make_entry(node, options=virtual_node(port))
    coordinator = await set_up(hass, entry)
    assert not coordinator.source.virtual_node.is_running
    raised = issue(hass, "virtual_node_bind_failed", entry.entry_id)
    assert raised is not None
    assert raised.severity is ir.IssueSeverity.ERROR
    assert raised.translation_key == "virtual_node_bind_failed"
    assert raised.translation_placeholders is not None
    assert raised.translation_placeholders["name"] == "Base"
    assert raised.translation_placeholders["port"] == str(port)
    assert raised.translation_placeholders["error"]

    stranger.close()
    await stranger.wait_closed()
    await wait_until(lambda: coordinator.source.virtual_node.is_running, "the listener")
    assert issue(hass, "virtual_node_bind_failed", entry.entry_id) is None
    assert node.tally["connections"] == 1


@pytest.mark.parametrize("admins", [["192.168.1.0/24"], ["0.0.0.0/0"]])
async def test_admin_for_some(hass: HomeAssistant, node: SimulatedNode, admins: list[str]) -> None:
    """Who names networks for one of the two is not told."""
    options = virtual_node(free_port())
    open_to_all = {} if admins == ["0.0.0.0/0"] else {"allowed_networks": ["0.0.0.0/0"]}
    options["virtual_node"] |= {
        "allow_admin_commands": True,
        "admin_networks": admins,
        **open_to_all,
    }
    entry = make_entry(node, options=options)
    await set_up(hass, entry)
    assert issue(hass, "admin_open_to_all", entry.entry_id) is None


async def test_firmware_too_old(hass: HomeAssistant, node: SimulatedNode) -> None:
    """Firmware that apps refuse is told of; an update ends that, and a strange name is no age."""
    entry = make_entry(node)
    coordinator = await set_up(hass, entry)
    assert issue(hass, "firmware_too_old", entry.entry_id) is None
    identity = coordinator.source.identity
    assert identity is not None
    for firmware, is_old in (("2.5.17.abc", True), ("2.5.18.abc", False), ("2.3", True)):
        coordinator.source.emit(IdentityChanged(replace(identity, firmware=firmware)))
        raised = issue(hass, "firmware_too_old", entry.entry_id)
        assert (raised is not None) is is_old, firmware
    coordinator.source.emit(IdentityChanged(replace(identity, firmware="home made")))
    assert issue(hass, "firmware_too_old", entry.entry_id) is None


async def test_port_taken_and_another_chosen(hass: HomeAssistant, node: SimulatedNode) -> None:
    """Another port in the options ends the problem at once."""
    port = free_port()
    stranger = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", port)
    entry = make_entry(node, options=virtual_node(port))
    coordinator = await set_up(hass, entry)
    assert issue(hass, "virtual_node_bind_failed", entry.entry_id) is not None
    hass.config_entries.async_update_entry(entry, options=virtual_node())
    await hass.async_block_till_done()
    assert coordinator.source.virtual_node.is_running
    assert issue(hass, "virtual_node_bind_failed", entry.entry_id) is None
    stranger.close()
    await stranger.wait_closed()


async def test_another_radio_answers(hass: HomeAssistant, node: SimulatedNode) -> None:
    """Another identity at the radio's address is told, with both names, and over when it is."""
    entry = make_entry(node)
    await set_up(hass, entry)
    expected = node.state.num
    device = dr.async_get(hass).async_get(coordinator_of(entry).device_id)
    firmware = node.state.metadata.firmware_version
    node.state.metadata.firmware_version = "2.3.0.abcdef"
    node.become(0x0D0D0D0D)
    await node.reboot()
    await wait_until(
        lambda: issue(hass, "identity_changed", entry.entry_id) is not None, "the issue"
    )
    raised = issue(hass, "identity_changed", entry.entry_id)
    assert raised is not None
    assert raised.translation_placeholders == {
        "name": "Base",
        "expected": f"!{expected:08x}",
        "found": "!0d0d0d0d",
    }
    # The device stays what it is: the one of the radio that is meant.
    assert dr.async_get(hass).async_get(coordinator_of(entry).device_id) == device
    # Nor is it this radio whose firmware is old.
    await wait_until(lambda: coordinator_of(entry).is_available, "the other radio")
    identity = coordinator_of(entry).source.identity
    assert identity is not None
    assert identity.firmware == "2.3.0.abcdef"
    assert issue(hass, "firmware_too_old", entry.entry_id) is None
    node.state.metadata.firmware_version = firmware
    node.become(expected)
    await node.reboot()
    await wait_until(lambda: issue(hass, "identity_changed", entry.entry_id) is None, "its end")


async def test_another_program_fights(
    hass: HomeAssistant, node: SimulatedNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link that is taken away again and again is told, and forgotten with the entry."""
    monkeypatch.setattr(f"{LINK_MODULE}.BACKOFF_FIRST", 0.01)
    monkeypatch.setattr(f"{LINK_MODULE}.BACKOFF_LAST", 0.01)
    node.faults.stolen_after = 0.05
    entry = make_entry(node)
    await set_up_without_radio(hass, entry)
    await wait_until(lambda: issue(hass, "link_contended", entry.entry_id) is not None, "the issue")
    raised = issue(hass, "link_contended", entry.entry_id)
    assert raised is not None
    assert raised.severity is ir.IssueSeverity.WARNING
    source = coordinator_of(entry).source
    source.emit(ProblemChanged(Problem.CONTENDED, False, {}))
    assert issue(hass, "link_contended", entry.entry_id) is None
    source.emit(ProblemChanged(Problem.CONTENDED, True, {}))
    assert issue(hass, "link_contended", entry.entry_id) is not None
    assert await hass.config_entries.async_unload(entry.entry_id)
    assert issue(hass, "link_contended", entry.entry_id) is None


async def test_send_errors_are_translated(hass: HomeAssistant, node: SimulatedNode) -> None:
    """What the sender can put right is told as such."""
    coordinator = await set_up(hass, make_entry(node))
    with pytest.raises(ServiceValidationError) as too_long:
        await coordinator.async_send_text(OutgoingText(text="x" * 1000, channel=0))
    assert too_long.value.translation_key == f"send_{SendReason.TOO_LONG}"
    assert too_long.value.translation_placeholders == {
        "name": "Base",
        "limit": str(coordinator.source.max_text_bytes),
    }
    with pytest.raises(ServiceValidationError) as nobody:
        await coordinator.async_send_text(OutgoingText(text="x", recipient_id="!deadbeef"))
    assert nobody.value.translation_key == f"send_{SendReason.UNKNOWN_NODE}"
    with pytest.raises(ServiceValidationError) as nowhere:
        await coordinator.async_send_text(OutgoingText(text="x", channel=7))
    assert nowhere.value.translation_key == f"send_{SendReason.UNKNOWN_CHANNEL}"
    with pytest.raises(ServiceValidationError) as nothing:
        await coordinator.async_send_text(OutgoingText(text="", channel=0))
    assert nothing.value.translation_key == f"send_{SendReason.EMPTY}"
    with pytest.raises(ServiceValidationError) as no_id:
        await coordinator.async_send_text(OutgoingText(text="x", reply_id="the last one"))
    assert no_id.value.translation_key == f"send_{SendReason.INVALID_ID}"
    assert not node.texts()


async def test_nothing_can_be_sent_before_the_radio_was_there(
    hass: HomeAssistant, node: SimulatedNode
) -> None:
    """A radio that was never there is no fault of the sender."""
    node.refuse()
    coordinator = await set_up_without_radio(hass, make_entry(node))
    with pytest.raises(HomeAssistantError) as away:
        await coordinator.async_send_text(OutgoingText(text="x", channel=0))
    assert not isinstance(away.value, ServiceValidationError)
    assert away.value.translation_key == f"send_{SendReason.NOT_CONNECTED}"


async def test_damaged_snapshot(
    hass: HomeAssistant,
    hass_storage: dict[str, object],
    node: SimulatedNode,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What cannot be understood is told once, and the radio is read anew."""
    entry = make_entry(node)
    hass_storage[f"{DOMAIN}.{entry.entry_id}"] = {
        "version": 1,
        "minor_version": 1,
        "key": f"{DOMAIN}.{entry.entry_id}",
        "data": {"version": "?", "nodes": "none"},
    }
    coordinator = await set_up(hass, entry)
    assert caplog.text.count("starting empty") == 1
    assert coordinator.source.identity is not None
    assert coordinator.source.identity.node_id == node_id(node)
    assert coordinator.source.channels[0] == Channel(index=0, name="LongFast", is_primary=True)
