"""Whether a virtual node can have the port it is meant to have, found out before it tries."""

import asyncio
import errno
import ipaddress
import socket
from typing import Final
from urllib.parse import urlsplit

from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import SERVER_PORT
from homeassistant.core import HomeAssistant

from .const import CONF_PROTOCOL, CONF_VIRTUAL_NODE, DOMAIN
from .coordinator import MeshMonitorConfigEntry
from .mesh.transport import Endpoint, TcpEndpoint
from .mesh.virtual_node import VirtualNodeOptions
from .protocols import PROTOCOLS


class FormError(Exception):
    """Something in a form is wrong."""

    def __init__(self, key: str, detail: str = "", field: str = "base") -> None:
        """Say what.

        Args:
            key: The error's name in the translations.
            detail: What its text names.
            field: Where in the form it is.
        """
        super().__init__(key)
        self.key = key
        self.detail = detail
        self.field = field


PORT_ERRORS: Final = {
    errno.EADDRNOTAVAIL: "invalid_bind_address",
    # What asyncio makes of the same when it was the only address.
    None: "invalid_bind_address",
    errno.EACCES: "port_not_permitted",
}


async def async_check_port(
    hass: HomeAssistant,
    wanted: VirtualNodeOptions,
    radio: Endpoint,
    entry: MeshMonitorConfigEntry | None,
) -> None:
    """Make sure that a virtual node could listen as its options say.

    Args:
        hass: Home Assistant.
        wanted: The options.
        radio: Where the source's own radio is.
        entry: The source's entry, where it has one already.

    Raises:
        FormError: It could not, and why.
    """
    port = wanted.port
    for other in hass.config_entries.async_entries(DOMAIN, include_ignore=False):
        if other is not entry and _is_in_the_way(other, wanted):
            raise FormError("port_used_by_source", other.title, CONF_VIRTUAL_NODE)
    if port == (SERVER_PORT if hass.config.api is None else hass.config.api.port):
        raise FormError("port_used_by_home_assistant", str(port), CONF_VIRTUAL_NODE)
    await async_check_radio(port, radio)
    await _async_try(wanted.bind_address, 0)
    if not _is_listening(entry, port):
        await _async_try(wanted.bind_address, port)


async def async_check_radio(port: int, radio: Endpoint) -> None:
    """Make sure that a radio is not where a virtual node is to listen.

    Args:
        port: The virtual node's port.
        radio: Where the source's own radio is.

    Raises:
        FormError: It is.
    """
    address = radio_address(radio)
    if address is not None and port == address.port and await async_is_here(address.host):
        raise FormError("port_of_radio", str(port), CONF_VIRTUAL_NODE)


def radio_address(radio: Endpoint) -> TcpEndpoint | None:
    """Return a radio's place in the network; None for one at a local serial port."""
    if isinstance(radio, TcpEndpoint):
        return radio
    url = urlsplit(radio.device)
    try:
        return TcpEndpoint(url.hostname or "", url.port) if url.port else None
    except ValueError:
        return None


async def async_resolve(host: str) -> set[str]:
    """Return the addresses of a host; none where its name is not known."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return set()
    return {str(address[4][0]) for address in found}


async def async_is_here(host: str) -> bool:
    """Return whether a host is the one that this runs on."""
    return any(_is_own(address) for address in await async_resolve(host))


def _is_own(address: str) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as trial:
            # Only an address of this host can be bound.
            trial.bind((address, 0))
    except OSError:
        return False
    return True


def _is_in_the_way(other: MeshMonitorConfigEntry, wanted: VirtualNodeOptions) -> bool:
    """Return whether the virtual node of another entry has the same place."""
    try:
        theirs = PROTOCOLS[other.data[CONF_PROTOCOL]].virtual_node_options(other.options)
    except KeyError, ValueError:
        # A damaged entry cannot be set up, and holds nothing.
        return False
    if not theirs.enabled or theirs.port != wanted.port:
        return False
    addresses = {theirs.bind_address, wanted.bind_address}
    return len(addresses) == 1 or "" in addresses or any(_is_everywhere(a) for a in addresses)


def _is_everywhere(address: str) -> bool:
    return ipaddress.ip_address(address).is_unspecified


def _is_listening(entry: MeshMonitorConfigEntry | None, port: int) -> bool:
    """Return whether the port is held by the virtual node that is about to be changed."""
    if entry is None or entry.state is not ConfigEntryState.LOADED:
        return False
    status = entry.runtime_data.source.virtual_node.status
    return status.is_running and status.port == port


async def _async_try(address: str, port: int) -> None:
    """Bind as the virtual node would, and let go at once.

    Raises:
        FormError: It cannot be bound.
    """
    try:
        server = await asyncio.get_running_loop().create_server(
            asyncio.Protocol, address or None, port, reuse_address=True, start_serving=False
        )
    except OSError as err:
        key = PORT_ERRORS.get(err.errno, "port_in_use")
        raise FormError(key, str(port), CONF_VIRTUAL_NODE) from None
    server.close()
