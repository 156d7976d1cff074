"""What the list of repairs tells of is put right from there, where it can be."""

import asyncio
from typing import Any

from homeassistant.components.repairs import (
    FlowType,
    RepairsFlow,
    RepairsFlowManager,
    RepairsFlowResult,
    repairs_flow_manager,
)
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers import issue_registry as ir
from homeassistant.setup import async_setup_component
import pytest

from custom_components.meshmonitor.const import DOMAIN
from custom_components.meshmonitor.issues import FIXABLE
from custom_components.meshmonitor.mesh.source import Problem, ProblemChanged
from custom_components.meshmonitor.repairs import async_create_fix_flow
from tests.ha import coordinator_of, make_entry, set_up, virtual_node, wait_until
from tests.ha.flows import suggested
from tests.ports import free_port
from tests.simulators.meshtastic_node import SimulatedNode

pytestmark = pytest.mark.usefixtures("unload")


@pytest.fixture(name="repairs")
async def repairs_fixture(hass: HomeAssistant) -> RepairsFlowManager:
    """Return what runs the flows that the list of repairs starts."""
    assert await async_setup_component(hass, "repairs", {})
    manager = repairs_flow_manager(hass)
    assert manager is not None
    return manager


def issue(hass: HomeAssistant, key: str, entry_id: str) -> ir.IssueEntry | None:
    """Return a repair issue of an entry, if there is one."""
    return ir.async_get(hass).async_get_issue(DOMAIN, f"{key}_{entry_id}")


async def open_repair(
    hass: HomeAssistant, repairs: RepairsFlowManager, key: str, entry_id: str
) -> RepairsFlowResult:
    """Choose an issue in the list, as its owner does."""
    raised = issue(hass, key, entry_id)
    assert raised is not None
    assert raised.is_fixable
    form = await repairs.async_init(DOMAIN, context={"issue_id": raised.issue_id})
    assert form["type"] is FlowResultType.FORM
    assert form["step_id"] == "confirm"
    assert form["description_placeholders"] == raised.translation_placeholders
    return form


async def lead_on(repairs: RepairsFlowManager, form: RepairsFlowResult) -> tuple[FlowType, str]:
    """Agree; returns kind and id of the flow that goes on from there."""
    result = await repairs.async_configure(form["flow_id"], {})
    assert result["type"] is FlowResultType.ABORT
    assert result["reason"] == "continued"
    return result["next_flow"]


async def test_admin_open_to_all(
    hass: HomeAssistant, repairs: RepairsFlowManager, node: SimulatedNode
) -> None:
    """Everybody may configure the radio: the owner is told, and can end that from the list."""
    options = virtual_node(free_port())
    options["virtual_node"] |= {
        "allow_admin_commands": True,
        "allowed_networks": ["0.0.0.0/0", "::/0"],
    }
    entry = make_entry(node, options=options)
    coordinator = await set_up(hass, entry)
    repair = await open_repair(hass, repairs, "admin_open_to_all", entry.entry_id)
    assert entry.options["virtual_node"]["allow_admin_commands"]
    done = await repairs.async_configure(repair["flow_id"], {})
    assert done["type"] is FlowResultType.CREATE_ENTRY
    await wait_until(
        lambda: not coordinator.source.virtual_node.options.allow_admin_commands, "the change"
    )
    await wait_until(lambda: not issue(hass, "admin_open_to_all", entry.entry_id), "the list")
    assert coordinator.source.virtual_node.is_running
    assert entry.options["virtual_node"]["allowed_networks"] == ["0.0.0.0/0", "::/0"]
    assert node.tally["connections"] == 1


async def test_port_taken(
    hass: HomeAssistant, repairs: RepairsFlowManager, node: SimulatedNode
) -> None:
    """The list leads to the options, where another port ends the problem."""
    port = free_port()
    stranger = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", port)
    entry = make_entry(node, options=virtual_node(port))
    coordinator = await set_up(hass, entry)
    form = await open_repair(hass, repairs, "virtual_node_bind_failed", entry.entry_id)
    kind, flow_id = await lead_on(repairs, form)
    assert kind is FlowType.OPTIONS_FLOW
    # Nothing is put right yet.
    assert issue(hass, "virtual_node_bind_failed", entry.entry_id) is not None
    options = hass.config_entries.options
    shown = options.async_get(flow_id)
    assert shown["step_id"] == "virtual_node"
    assert suggested(await options.async_configure(flow_id))["virtual_node"]["port"] == port
    wanted = {"virtual_node": {"enabled": True, "port": port}}
    assert (await options.async_configure(flow_id, wanted))["errors"]
    wanted["virtual_node"]["port"] = free_port()
    done = await options.async_configure(flow_id, wanted)
    assert done["type"] is FlowResultType.CREATE_ENTRY
    await hass.async_block_till_done()
    assert coordinator.source.virtual_node.is_running
    assert issue(hass, "virtual_node_bind_failed", entry.entry_id) is None
    stranger.close()
    await stranger.wait_closed()


async def test_another_program_fights(
    hass: HomeAssistant, repairs: RepairsFlowManager, node: SimulatedNode
) -> None:
    """The list leads to the virtual node, which the other program can use in place of the radio."""
    entry = make_entry(node)
    coordinator = await set_up(hass, entry)
    coordinator.source.emit(ProblemChanged(Problem.CONTENDED, True, {}))
    form = await open_repair(hass, repairs, "link_contended", entry.entry_id)
    kind, flow_id = await lead_on(repairs, form)
    assert kind is FlowType.OPTIONS_FLOW
    assert hass.config_entries.options.async_get(flow_id)["step_id"] == "virtual_node"
    assert issue(hass, "link_contended", entry.entry_id) is not None


async def test_another_radio_answers(
    hass: HomeAssistant,
    repairs: RepairsFlowManager,
    node: SimulatedNode,
    other_node: SimulatedNode,
) -> None:
    """The list leads to the form that tells where the radio is; found there, the problem ends."""
    entry = make_entry(node)
    await set_up(hass, entry)
    other_node.become(node.state.num)
    node.become(0x0D0D0D0D)
    await node.reboot()
    await wait_until(lambda: issue(hass, "identity_changed", entry.entry_id), "the issue")
    form = await open_repair(hass, repairs, "identity_changed", entry.entry_id)
    kind, flow_id = await lead_on(repairs, form)
    assert kind is FlowType.CONFIG_FLOW
    flows = hass.config_entries.flow
    assert flows.async_get(flow_id)["step_id"] == "reconfigure"
    where: dict[str, Any] = {"host": other_node.host, "port": other_node.port}
    done = await flows.async_configure(flow_id, where)
    assert done["type"] is FlowResultType.ABORT
    assert done["reason"] == "reconfigure_successful"
    await hass.async_block_till_done()
    await wait_until(lambda: coordinator_of(entry).is_available, "the radio")
    assert issue(hass, "identity_changed", entry.entry_id) is None


async def test_source_is_gone(
    hass: HomeAssistant, repairs: RepairsFlowManager, node: SimulatedNode
) -> None:
    """A repair whose source was removed meanwhile has nothing left to do."""
    entry = make_entry(node)
    coordinator = await set_up(hass, entry)
    coordinator.source.emit(ProblemChanged(Problem.CONTENDED, True, {}))
    form = await open_repair(hass, repairs, "link_contended", entry.entry_id)
    await hass.config_entries.async_remove(entry.entry_id)
    done = await repairs.async_configure(form["flow_id"], {})
    assert done["type"] is FlowResultType.CREATE_ENTRY


async def test_every_fixable_issue_has_a_flow(hass: HomeAssistant) -> None:
    """None claims in vain that it can be put right."""
    for key in FIXABLE:
        flow = await async_create_fix_flow(hass, f"{key}_01JD", {"entry_id": "01JD"})
        assert isinstance(flow, RepairsFlow), key
