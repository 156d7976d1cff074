"""A virtual node is announced in the local network while it serves: real multicast on loopback."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from ipaddress import ip_address
import logging
import os
from typing import Any

from homeassistant.components.zeroconf import DOMAIN as ZEROCONF
from homeassistant.components.zeroconf.const import DATA_INSTANCE
from homeassistant.components.zeroconf.models import HaAsyncZeroconf, HaZeroconf
from homeassistant.config_entries import SOURCE_ZEROCONF
from homeassistant.core import HomeAssistant
from homeassistant.helpers.service_info.zeroconf import ZeroconfServiceInfo
from homeassistant.setup import async_setup_component
import pytest
from zeroconf import ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from custom_components.meshmonitor.announce import wanted_announcement
from custom_components.meshmonitor.const import DOMAIN
from tests.ha import make_entry, node_id, set_up, virtual_node, wait_until
from tests.ports import free_port
from tests.simulators.meshtastic_config import NodeConfig
from tests.simulators.meshtastic_node import SimulatedNode

SERVICE = "_meshtastic._tcp.local."

type Seen = dict[str, AsyncServiceInfo]


@pytest.fixture(name="node")
async def node_fixture(socket_enabled: None) -> AsyncIterator[SimulatedNode]:
    """Yield a node of a name that nobody else on this machine announces: all hear each other."""
    async with SimulatedNode(NodeConfig(long_name=f"Base {os.getpid()}")) as node:
        yield node


@pytest.fixture(name="zeroconf_instance")
async def zeroconf_instance_fixture(
    hass: HomeAssistant, socket_enabled: None
) -> AsyncIterator[HaAsyncZeroconf]:
    """Give Home Assistant its zeroconf, kept to the loopback interface."""
    assert await async_setup_component(hass, "network", {})
    try:
        instance = HaAsyncZeroconf(zc=HaZeroconf(interfaces=["127.0.0.1"]))
    except OSError as err:
        pytest.skip(f"no multicast here: {err}")
    hass.data[DATA_INSTANCE] = instance
    hass.config.components.add(ZEROCONF)
    yield instance
    await instance.ha_async_close()


@pytest.fixture(name="seen")
async def seen_fixture(
    zeroconf_instance: HaAsyncZeroconf, unload: None, node: SimulatedNode
) -> AsyncIterator[Seen]:
    """Yield what an app that looks for nodes sees of this one, as it comes and goes."""
    seen: Seen = {}
    lookups: set[asyncio.Task[None]] = set()
    app = AsyncZeroconf(interfaces=["127.0.0.1"])

    async def look_up(name: str) -> None:
        info = AsyncServiceInfo(SERVICE, name)
        if await info.async_request(app.zeroconf, 3000):
            seen[name] = info

    def changed(
        zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange
    ) -> None:
        if not name.startswith(f"MeshMonitor {node.state.user.long_name}."):
            return
        if state_change is ServiceStateChange.Removed:
            seen.pop(name, None)
        else:
            task = asyncio.get_running_loop().create_task(look_up(name))
            lookups.add(task)
            task.add_done_callback(lookups.discard)

    browser = AsyncServiceBrowser(app.zeroconf, [SERVICE], handlers=[changed])
    yield seen
    await browser.async_cancel()
    await asyncio.gather(*lookups)
    await app.async_close()


def texts(info: AsyncServiceInfo) -> dict[str, str]:
    """Return a service's TXT records."""
    return {
        key.decode(): (value or b"").decode()
        for key, value in info.properties.items()
        if isinstance(key, bytes)
    }


async def test_announced_while_it_serves(
    hass: HomeAssistant, node: SimulatedNode, seen: Seen
) -> None:
    """Apps see it come, move and go; and our own discovery does not take it for a radio."""
    port, other_port = free_port(), free_port()
    entry = make_entry(node, options=virtual_node(port))
    await set_up(hass, entry)
    await wait_until(lambda: seen, "the announcement")
    [(name, info)] = seen.items()
    assert info.port == port
    assert info.parsed_addresses()
    assert texts(info) == {"id": node_id(node), "shortname": "MeshMonitor SIMB", "meshmonitor": "1"}

    discovered = await hass.config_entries.flow.async_init(
        DOMAIN,
        context={"source": SOURCE_ZEROCONF},
        data=ZeroconfServiceInfo(
            ip_address=ip_address(info.parsed_addresses()[0]),
            ip_addresses=[ip_address(address) for address in info.parsed_addresses()],
            port=info.port,
            hostname=info.server or "",
            type=SERVICE,
            name=name,
            properties=texts(info),
        ),
    )
    assert discovered["reason"] == "virtual_node"

    hass.config_entries.async_update_entry(entry, options=virtual_node(other_port))
    await wait_until(
        lambda: [found.port for found in seen.values()] == [other_port], "the new port"
    )
    hass.config_entries.async_update_entry(entry, options=virtual_node(other_port, announce=False))
    await wait_until(lambda: not seen, "the end of the announcement")
    hass.config_entries.async_update_entry(entry, options=virtual_node(other_port))
    await wait_until(lambda: seen, "the announcement")
    assert await hass.config_entries.async_unload(entry.entry_id)
    await wait_until(lambda: not seen, "the goodbye")
    assert node.tally["connections"] == 1


async def test_not_announced_without_zeroconf(hass: HomeAssistant, node: SimulatedNode) -> None:
    """Where Home Assistant has no zeroconf nothing is announced, and nothing is missed."""
    entry = make_entry(node, options=virtual_node())
    coordinator = await set_up(hass, entry)
    assert coordinator.source.virtual_node.is_running
    assert DATA_INSTANCE not in hass.data
    assert await hass.config_entries.async_unload(entry.entry_id)


async def test_a_failure_harms_nobody(
    hass: HomeAssistant,
    node: SimulatedNode,
    zeroconf_instance: HaAsyncZeroconf,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Without a working multicast the virtual node serves all the same."""
    await zeroconf_instance.ha_async_close()
    entry = make_entry(node, options=virtual_node())
    coordinator = await set_up(hass, entry)
    await wait_until(lambda: "could not be announced" in caplog.text, "the log line")
    assert coordinator.source.virtual_node.is_running
    assert await hass.config_entries.async_unload(entry.entry_id)


async def test_no_goodbye_without_network(
    hass: HomeAssistant,
    node: SimulatedNode,
    zeroconf_instance: HaAsyncZeroconf,
    seen: Seen,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An announcement that cannot be withdrawn does not hold up the end."""
    caplog.set_level(logging.DEBUG, "custom_components.meshmonitor.announce")
    entry = make_entry(node, options=virtual_node())
    await set_up(hass, entry)
    await wait_until(lambda: seen, "the announcement")
    await zeroconf_instance.ha_async_close()
    assert await hass.config_entries.async_unload(entry.entry_id)
    assert "Error" not in caplog.text


async def test_what_is_announced(hass: HomeAssistant, node: SimulatedNode, unload: None) -> None:
    """Only what can be reached, by those who know whose it is."""
    coordinator = await set_up(hass, make_entry(node, options=virtual_node()))
    source, protocol = coordinator.source, coordinator.protocol
    assert wanted_announcement(protocol, source) is not None
    assert wanted_announcement(replace(protocol, service_type=None), source) is None
    assert wanted_announcement(replace(protocol, is_announced=None), source) is None

    async def wanted(**options: Any) -> object:
        section = virtual_node(**options)
        await source.apply_virtual_node(protocol.virtual_node_options(section))
        return wanted_announcement(protocol, source)

    assert await wanted(bind_address="127.0.0.1") is None
    assert await wanted(announce=False) is None
    assert await wanted(enabled=False) is None
    assert await wanted() is not None
