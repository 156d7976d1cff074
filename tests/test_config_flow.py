"""Adding a radio, moving it, and setting how its virtual node serves, through the forms."""

import socket
from typing import Any, Final

from homeassistant.config_entries import SOURCE_USER, ConfigEntryState
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.meshmonitor.const import DOMAIN
from custom_components.meshmonitor.protocols import PROTOCOLS
from tests.ha import coordinator_of, make_entry, node_id, set_up, wait_until
from tests.ha.flows import start, submit, suggested
from tests.ports import free_port
from tests.simulators.meshtastic_config import NodeConfig
from tests.simulators.meshtastic_faults import OnConnect
from tests.simulators.meshtastic_node import SimulatedNode

pytestmark = pytest.mark.usefixtures("unload")

DEFAULTS: Final = {
    "enabled": False,
    "port": 4404,
    "bind_address": "",
    "allow_admin_commands": False,
    "allow_destructive_commands": False,
    "admin_networks": [],
    "max_clients": 32,
    "keep_missed_messages": True,
    "shared_position": "one",
    "hide_secrets": True,
    "announce": True,
}


async def test_menu_offers_every_kind(hass: HomeAssistant) -> None:
    """The first question is what kind of radio it is."""
    menu = await hass.config_entries.flow.async_init(DOMAIN, context={"source": SOURCE_USER})
    assert menu["type"] is FlowResultType.MENU
    assert menu["menu_options"] == [
        f"{protocol}_{connection}" for protocol in PROTOCOLS for connection in ("tcp", "serial")
    ]
    assert "meshtastic_tcp" in menu["menu_options"]


async def test_add_by_address(hass: HomeAssistant, node: SimulatedNode) -> None:
    """Host and port are enough: everything else is the radio's own word, or a default."""
    form = await start(hass, "meshtastic_tcp")
    result = await submit(hass, form, {"host": f" {node.host} ", "port": node.port})
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert result["title"] == "Simulated Base"
    assert result["data"] == {
        "protocol": "meshtastic",
        "connection": "tcp",
        "host": node.host,
        "port": node.port,
    }
    assert result["options"] == {
        "virtual_node": DEFAULTS,
        "nodes": {"mode": "favorites", "picked": [], "expire_days": 30},
    }
    entry = result["result"]
    assert entry.unique_id == node_id(node)
    assert entry.state is ConfigEntryState.LOADED
    await wait_until(lambda: coordinator_of(entry).is_available)


async def test_add_with_virtual_node(hass: HomeAssistant, node: SimulatedNode) -> None:
    """What the section says is how the virtual node serves from the first moment on."""
    port = free_port()
    form = await start(hass, "meshtastic_tcp")
    result = await submit(
        hass,
        form,
        {
            "host": node.host,
            "port": node.port,
            "virtual_node": {
                "enabled": True,
                "port": float(port),
                "bind_address": " 127.0.0.1 ",
                "allow_admin_commands": True,
                "allowed_networks": ["10.1.2.3/8", " 127.0.0.1 ", ""],
                "admin_networks": ["127.0.0.1"],
                "max_clients": 2,
                "keep_missed_messages": False,
                "shared_position": "none",
            },
        },
    )
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert result["options"]["virtual_node"] == {
        **DEFAULTS,
        "enabled": True,
        "port": port,
        "bind_address": "127.0.0.1",
        "allow_admin_commands": True,
        "allowed_networks": ["10.0.0.0/8", "127.0.0.1/32"],
        "admin_networks": ["127.0.0.1/32"],
        "max_clients": 2,
        "keep_missed_messages": False,
        "shared_position": "none",
    }
    assert coordinator_of(result["result"]).source.virtual_node.is_running


async def test_add_by_serial_port(hass: HomeAssistant, node: SimulatedNode) -> None:
    """A node at a serial port is proved and added like one in the network."""
    device = node.serve_pty()
    form = await start(hass, "meshtastic_serial")
    result = await submit(hass, form, {"device": f" {device}"})
    assert result["type"] is FlowResultType.CREATE_ENTRY, result
    assert result["data"] == {
        "protocol": "meshtastic",
        "connection": "serial",
        "device": device,
    }
    assert result["result"].unique_id == node_id(node)
    await wait_until(lambda: coordinator_of(result["result"]).is_available)


async def test_add_by_serial_address(hass: HomeAssistant, node: SimulatedNode) -> None:
    """A serial port in the network can be typed in."""
    form = await start(hass, "meshtastic_serial")
    device = f"socket://{node.host}:{node.port}"
    result = await submit(hass, form, {"device": device})
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert result["data"]["device"] == device
    await wait_until(lambda: coordinator_of(result["result"]).is_available)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (OnConnect.HTTP, "wrong_protocol"),
        (OnConnect.BLACK_HOLE, "no_answer"),
        (OnConnect.CLOSE, "link_contended"),
    ],
)
async def test_radio_cannot_be_proved(
    hass: HomeAssistant,
    node: SimulatedNode,
    monkeypatch: pytest.MonkeyPatch,
    fault: OnConnect,
    error: str,
) -> None:
    """Each way to fail has its own text; nothing typed is lost; the second try works."""
    # A real radio is granted more.
    monkeypatch.setattr("custom_components.meshmonitor.meshtastic.probe.SILENCE_TIMEOUT", 0.5)
    node.faults.on_connect = fault
    user_input = {
        "host": node.host,
        "port": node.port,
        "virtual_node": {"enabled": True, "port": free_port(), "max_clients": 7},
    }
    form = await submit(hass, await start(hass, "meshtastic_tcp"), user_input)
    assert form["type"] is FlowResultType.FORM
    assert form["errors"] == {"base": error}
    shown = suggested(form)
    assert shown["host"] == node.host
    assert shown["port"] == node.port
    assert shown["virtual_node"]["max_clients"] == 7
    assert shown["virtual_node"]["enabled"] is True

    node.faults.on_connect = OnConnect.SERVE
    result = await submit(hass, form, user_input)
    assert result["type"] is FlowResultType.CREATE_ENTRY


@pytest.mark.parametrize("step", ["meshtastic_tcp", "meshtastic_serial"])
async def test_nothing_there(hass: HomeAssistant, socket_enabled: None, step: str) -> None:
    """An address where nobody listens, and a serial port that does not exist."""
    user_input: dict[str, Any] = (
        {"host": "127.0.0.1", "port": free_port()}
        if step == "meshtastic_tcp"
        else {"device": "/dev/serial/by-id/no-such-radio"}
    )
    form = await submit(hass, await start(hass, step), user_input)
    assert form["errors"] == {"base": "cannot_connect"}
    assert suggested(form).items() >= user_input.items()


async def test_unexpected_fault(
    hass: HomeAssistant,
    node: SimulatedNode,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A fault of ours is logged, and the form says where to look."""

    async def fail(*args: object, **kwargs: object) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr("custom_components.meshmonitor.mesh.probe.open_transport", fail)
    form = await submit(
        hass, await start(hass, "meshtastic_tcp"), {"host": node.host, "port": node.port}
    )
    assert form["errors"] == {"base": "unknown"}
    assert "a fault of ours" in caplog.text


@pytest.mark.parametrize(
    "host",
    [
        "",
        " ",
        "http://radio.local",
        "radio/path",
        "192.168.1.256",
        "a..b",
        "radio:4403",
        "-",
        "x y",
    ],
)
async def test_invalid_host(hass: HomeAssistant, socket_enabled: None, host: str) -> None:
    """What is no host is refused at the field, and shown again."""
    form = await submit(hass, await start(hass, "meshtastic_tcp"), {"host": host, "port": 4403})
    assert form["errors"] == {"host": "invalid_host"}
    assert suggested(form)["host"] == host


@pytest.mark.parametrize("host", ["localhost", "[127.0.0.1]", "127.0.0.1 "])
async def test_hosts_that_lead_to_it(hass: HomeAssistant, node: SimulatedNode, host: str) -> None:
    """Names and addresses in any of their forms are taken."""
    form = await start(hass, "meshtastic_tcp")
    result = await submit(hass, form, {"host": host, "port": node.port})
    assert result["type"] is FlowResultType.CREATE_ENTRY


async def test_same_address_is_not_probed(hass: HomeAssistant, node: SimulatedNode) -> None:
    """A radio that is set up already keeps its link, by whatever name it is meant."""
    await set_up(hass, make_entry(node))
    for host in (node.host, "localhost"):
        result = await submit(
            hass, await start(hass, "meshtastic_tcp"), {"host": host, "port": node.port}
        )
        assert result["type"] is FlowResultType.ABORT
        assert result["reason"] == "already_configured"
    assert node.tally["connections"] == 1


async def test_same_serial_port_is_not_probed(hass: HomeAssistant, node: SimulatedNode) -> None:
    """The same holds for a serial port."""
    device = node.serve_pty()
    result = await submit(hass, await start(hass, "meshtastic_serial"), {"device": device})
    assert result["type"] is FlowResultType.CREATE_ENTRY
    await wait_until(lambda: coordinator_of(result["result"]).is_available)
    again = await submit(hass, await start(hass, "meshtastic_serial"), {"device": device})
    assert again["reason"] == "already_configured"
    assert coordinator_of(result["result"]).source.link.sessions == 1


async def test_same_radio_at_another_address(
    hass: HomeAssistant, node: SimulatedNode, socket_enabled: None
) -> None:
    """It is its identity that makes a radio, not its address."""
    entry = make_entry(node)
    entry.add_to_hass(hass)
    async with SimulatedNode(NodeConfig(num=node.state.num)) as twin:
        result = await submit(
            hass, await start(hass, "meshtastic_tcp"), {"host": twin.host, "port": twin.port}
        )
    assert result["type"] is FlowResultType.ABORT
    assert result["reason"] == "already_configured"
    assert entry.data["port"] == node.port


async def test_radios_of_every_kind(
    hass: HomeAssistant, node: SimulatedNode, other_node: SimulatedNode
) -> None:
    """A radio at a serial port and one in the network are never the same place; nor is nowhere."""
    MockConfigEntry(domain=DOMAIN, unique_id="!00000bad", data={}).add_to_hass(hass)
    make_entry(
        other_node, connection="serial", device="/dev/serial/by-id/no-such-radio"
    ).add_to_hass(hass)
    result = await submit(
        hass, await start(hass, "meshtastic_tcp"), {"host": node.host, "port": node.port}
    )
    assert result["type"] is FlowResultType.CREATE_ENTRY


async def test_unknown_host(
    hass: HomeAssistant, node: SimulatedNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that nobody knows leads nowhere, and is nobody's."""

    async def unknown(*args: object, **kwargs: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    make_entry(node).add_to_hass(hass)
    monkeypatch.setattr(hass.loop, "getaddrinfo", unknown)
    form = await submit(
        hass, await start(hass, "meshtastic_tcp"), {"host": "no-such-radio", "port": node.port}
    )
    assert form["errors"] == {"base": "cannot_connect"}
