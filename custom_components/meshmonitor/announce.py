"""Announces a virtual node in the local network, so that phone apps list it by themselves.

The service type and the TXT records are those of the firmware (meshtastic/firmware,
src/mesh/wifi/WiFiAPClient.cpp); the name, and one record more, tell ours from a radio.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
import logging
from typing import TYPE_CHECKING, Final

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import HomeAssistant, callback

from .mesh.source import MeshSource
from .protocols import RadioProtocol

if TYPE_CHECKING:
    from zeroconf.asyncio import AsyncServiceInfo

_LOGGER = logging.getLogger(__name__)

MARKER: Final = "meshmonitor"
"""The TXT record that only virtual nodes have."""
_ZEROCONF: Final = "zeroconf"
_MAX_LABEL: Final = 63
"""Bytes in one part of a DNS name (RFC 1035, 2.3.4)."""
_FAREWELL_TIMEOUT: Final = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """What is to be known of a virtual node."""

    service_type: str
    node_id: str
    name: str
    short_name: str
    port: int
    address: str
    """Where it listens; empty for everywhere."""


def wanted_announcement(protocol: RadioProtocol, source: MeshSource) -> Announcement | None:
    """Return what to announce of a source now; None for nothing."""
    virtual_node = source.virtual_node
    identity = source.identity
    if (
        protocol.service_type is None
        or protocol.is_announced is None
        or identity is None
        or not virtual_node.is_running
        or not protocol.is_announced(virtual_node.options)
    ):
        return None
    address = virtual_node.options.bind_address
    if address and ip_address(address).is_loopback:
        return None
    return Announcement(
        service_type=protocol.service_type,
        node_id=identity.node_id,
        name=identity.name,
        short_name=identity.short_name or "",
        port=virtual_node.status.port,
        address=address,
    )


class Announcer:
    """Keeps the announcement of one source true. Whatever fails here harms nothing else."""

    def __init__(self, hass: HomeAssistant, entry: ConfigEntry, protocol: RadioProtocol) -> None:
        """Start silent."""
        self._hass = hass
        self._entry = entry
        self._protocol = protocol
        self._wanted: Announcement | None = None
        self._announced: Announcement | None = None
        self._service: AsyncServiceInfo | None = None
        self._task: asyncio.Task[None] | None = None

    @callback
    def update(self, source: MeshSource) -> None:
        """Announce what is true now; returns at once."""
        wanted = wanted_announcement(self._protocol, source)
        if wanted is not None and _ZEROCONF not in self._hass.config.components:
            return
        self._wanted = wanted
        if self._wanted != self._announced and self._task is None:
            self._task = self._entry.async_create_background_task(
                self._hass, self._run(), f"meshmonitor announcement {self._entry.title}"
            )

    async def async_stop(self) -> None:
        """Say goodbye."""
        self._wanted = None
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        with suppress(TimeoutError):
            async with asyncio.timeout(_FAREWELL_TIMEOUT):
                await self._withdraw()

    async def _run(self) -> None:
        try:
            while self._announced != (wanted := self._wanted):
                await self._withdraw()
                if wanted is not None:
                    await self._register(wanted)
                self._announced = wanted
        finally:
            self._task = None

    async def _register(self, wanted: Announcement) -> None:
        # Imported late: where there is no zeroconf, its package may be missing as well.
        from homeassistant.components import zeroconf
        from zeroconf import Error
        from zeroconf.asyncio import AsyncServiceInfo

        addresses = [wanted.address] if wanted.address else await self._addresses()
        node = wanted.node_id.lstrip("!")
        service = AsyncServiceInfo(
            wanted.service_type,
            f"{_label(f'MeshMonitor {wanted.name}')}.{wanted.service_type}",
            port=wanted.port,
            properties=_properties(wanted),
            server=f"meshmonitor-{node[:16]}.local.",
            parsed_addresses=addresses,
        )
        try:
            instance = await zeroconf.async_get_async_instance(self._hass)
            self._service = service
            # The first registers, the second tells everybody.
            await (await instance.async_register_service(service, allow_name_change=True))
        except (Error, OSError, ValueError) as err:
            self._service = None
            _LOGGER.warning(
                "%s: the virtual node could not be announced: %s", self._entry.title, err
            )
        else:
            _LOGGER.debug("%s: announced as %s", self._entry.title, service.name)

    async def _withdraw(self) -> None:
        service, self._service = self._service, None
        self._announced = None
        if service is None:
            return
        from homeassistant.components import zeroconf
        from zeroconf import Error

        try:
            instance = await zeroconf.async_get_async_instance(self._hass)
            await (await instance.async_unregister_service(service))
        except (Error, OSError, KeyError) as err:
            _LOGGER.debug("%s: the announcement could not be withdrawn: %s", self._entry.title, err)

    async def _addresses(self) -> list[str]:
        from homeassistant.components import network

        return await network.async_get_announce_addresses(self._hass)


def _properties(wanted: Announcement) -> dict[str, str]:
    # The apps call what they list after these two records, and the one for iOS shows no address:
    # by the name alone its owner tells the virtual node from the radio, which announces itself.
    name = f"MeshMonitor {wanted.short_name}".strip()
    return {"id": wanted.node_id, "shortname": name, MARKER: "1"}


def _label(text: str) -> str:
    """Return a text that fits into one part of a DNS name."""
    return text.replace(".", " ").encode()[:_MAX_LABEL].decode(errors="ignore").strip()
