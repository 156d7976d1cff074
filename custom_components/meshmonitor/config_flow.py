"""Adds a radio, and moves it."""

from ipaddress import ip_address
import logging
from pathlib import Path
import re
from typing import Any, Final, override

from homeassistant.components import usb
from homeassistant.config_entries import ConfigEntryState, ConfigFlow, ConfigFlowResult
from homeassistant.const import CONF_DEVICE, CONF_HOST, CONF_PORT
from homeassistant.core import callback
from homeassistant.data_entry_flow import AbortFlow
from homeassistant.helpers.selector import SerialPortSelector, TextSelector
from homeassistant.helpers.service_info.usb import UsbServiceInfo
from homeassistant.helpers.service_info.zeroconf import ZeroconfServiceInfo
import probatio

from .announce import MARKER
from .const import (
    CONF_CONNECTION,
    CONF_NODES,
    CONF_PROTOCOL,
    CONF_VIRTUAL_NODE,
    CONNECTION_SERIAL,
    CONNECTION_TCP,
    DOMAIN,
)
from .coordinator import MeshMonitorConfigEntry
from .mesh.source import ProbeError, ProbeResult
from .mesh.transport import Endpoint, SerialEndpoint, TcpEndpoint
from .node_form import node_fields, parse_nodes
from .options_flow import MeshMonitorOptionsFlow
from .ports import FormError, async_check_radio, async_is_here, async_resolve
from .protocols import PROTOCOLS, RadioProtocol, endpoint_of
from .virtual_node_form import PORT_SELECTOR, async_parse_virtual_node, virtual_node_section

_LOGGER = logging.getLogger(__name__)

_HOST_LABEL: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?", re.IGNORECASE)
_NODE_ID: Final = re.compile(r"![0-9a-f]{8}")


class MeshMonitorConfigFlow(ConfigFlow, domain=DOMAIN):
    """Adds a radio, or moves it."""

    VERSION = 1
    MINOR_VERSION = 1

    def __init__(self) -> None:
        """Start with nothing discovered."""
        self._discovered: dict[str, Any] = {}
        self._discovered_name = ""
        self._proved: ProbeResult | None = None
        self._data: dict[str, Any] = {}
        self._options: dict[str, Any] = {}

    @staticmethod
    @callback
    @override
    def async_get_options_flow(config_entry: MeshMonitorConfigEntry) -> MeshMonitorOptionsFlow:
        """Return the flow that changes an entry's options."""
        return MeshMonitorOptionsFlow()

    @override
    async def async_step_user(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Ask what kind of radio it is, and how it is connected."""
        return self.async_show_menu(
            step_id="user",
            menu_options=[
                f"{protocol}_{connection}"
                for protocol in PROTOCOLS
                for connection in (CONNECTION_TCP, CONNECTION_SERIAL)
            ],
        )

    async def async_step_meshtastic_tcp(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Add a Meshtastic node in the network."""
        return await self._async_add("meshtastic", CONNECTION_TCP, user_input)

    async def async_step_meshtastic_serial(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Add a Meshtastic node at a serial port."""
        return await self._async_add("meshtastic", CONNECTION_SERIAL, user_input)

    async def async_step_meshcore_tcp(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Add a MeshCore companion in the network."""
        return await self._async_add("meshcore", CONNECTION_TCP, user_input)

    async def async_step_meshcore_serial(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Add a MeshCore companion at a serial port."""
        return await self._async_add("meshcore", CONNECTION_SERIAL, user_input)

    async def async_step_reconfigure(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Tell where a radio is now."""
        entry: MeshMonitorConfigEntry = self._get_reconfigure_entry()
        protocol = PROTOCOLS[entry.data[CONF_PROTOCOL]]
        connection = entry.data[CONF_CONNECTION]
        errors: dict[str, str] = {}
        detail = ""
        if user_input is not None:
            try:
                data = await self._async_parse_connection(protocol, connection, user_input)
                radio = endpoint_of(data)
                await self._async_abort_if_in_use(radio, entry)
                options = protocol.virtual_node_options(entry.options)
                # What else is in the way of a virtual node is no matter of where its radio is.
                if options.enabled:
                    await async_check_radio(options.port, radio)
                # While we hold the link, a look at the same radio would cut it.
                is_held = entry.state is ConfigEntryState.LOADED and await self._async_is_same(
                    radio, endpoint_of(entry.data)
                )
                if not is_held:
                    identity = (await self._async_probe(protocol, radio)).identity
                    await self.async_set_unique_id(identity.node_id)
                    self._abort_if_unique_id_mismatch(
                        description_placeholders={
                            "expected": entry.unique_id or "",
                            "found": identity.node_id,
                        }
                    )
            except FormError as err:
                field = CONF_HOST if err.field == CONF_HOST else "base"
                errors[field], detail = err.key, err.detail
            else:
                return self.async_update_and_abort(entry, data=data)
        return self.async_show_form(
            step_id="reconfigure",
            data_schema=self.add_suggested_values_to_schema(
                probatio.Schema(connection_fields(protocol, connection)),
                user_input or entry.data,
            ),
            errors=errors,
            description_placeholders={"name": entry.title, "detail": detail},
        )

    @override
    async def async_step_zeroconf(self, discovery_info: ZeroconfServiceInfo) -> ConfigFlowResult:
        """Consider a radio that announces itself."""
        protocol = next(p for p in PROTOCOLS.values() if p.service_type == discovery_info.type)
        node_id = str(discovery_info.properties.get("id") or "").lower()
        if MARKER in discovery_info.properties:
            return self.async_abort(reason="virtual_node")
        if not _NODE_ID.fullmatch(node_id):
            return self.async_abort(reason="no_identity")
        radio = TcpEndpoint(discovery_info.host, discovery_info.port or protocol.radio_port)
        if await self._async_is_virtual_node(radio):
            return self.async_abort(reason="virtual_node")
        existing = await self.async_set_unique_id(node_id)
        if existing is not None and await self._async_may_move(existing, radio):
            # The entry's update listener reloads it.
            self._abort_if_unique_id_configured(
                {CONF_HOST: radio.host, CONF_PORT: radio.port}, reload_on_update=False
            )
        self._abort_if_unique_id_configured(reload_on_update=False)
        await self._async_abort_if_in_use(radio)
        self._discovered = {
            CONF_PROTOCOL: protocol.key,
            CONF_CONNECTION: CONNECTION_TCP,
            CONF_HOST: radio.host,
            CONF_PORT: radio.port,
        }
        self._discovered_name = str(discovery_info.properties.get("shortname") or node_id)
        self.context["title_placeholders"] = {"name": f"{self._discovered_name} ({node_id})"}
        return await self.async_step_zeroconf_confirm()

    async def async_step_zeroconf_confirm(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Add a discovered radio, if its owner wants to."""
        protocol = PROTOCOLS[self._discovered[CONF_PROTOCOL]]
        errors: dict[str, str] = {}
        detail = ""
        if user_input is not None:
            radio = endpoint_of(self._discovered)
            try:
                proved = await self._async_probe(protocol, radio)
            except FormError as err:
                errors["base"], detail = err.key, err.detail
            else:
                if proved.identity.node_id != self.unique_id:
                    return self.async_abort(reason="other_radio")
                self._proved, self._data = proved, self._discovered
                return await self.async_step_nodes()
        return self.async_show_form(
            step_id="zeroconf_confirm",
            errors=errors,
            description_placeholders={
                "name": self._discovered_name,
                "host": self._discovered[CONF_HOST],
                "detail": detail,
            },
        )

    @override
    async def async_step_usb(self, discovery_info: UsbServiceInfo) -> ConfigFlowResult:
        """Consider a radio that was plugged in. What it speaks, only its owner knows."""
        await self.async_set_unique_id(usb.usb_unique_id_from_service_info(discovery_info))
        # Only an offer that was turned down is called so: a radio goes by who it is.
        self._abort_if_unique_id_configured(reload_on_update=False)
        device = await self.hass.async_add_executor_job(usb.get_serial_by_id, discovery_info.device)
        await self._async_abort_if_in_use(SerialEndpoint(device))
        self._discovered = {CONF_DEVICE: device}
        self._discovered_name = discovery_info.description or device
        self.context["title_placeholders"] = {"name": self._discovered_name}
        return await self.async_step_usb_confirm()

    async def async_step_usb_confirm(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask what a radio that was plugged in speaks."""
        return self.async_show_menu(
            step_id="usb_confirm",
            menu_options=[f"{protocol}_{CONNECTION_SERIAL}" for protocol in PROTOCOLS],
            description_placeholders={"name": self._discovered_name},
        )

    async def async_step_nodes(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Ask which nodes of the mesh are to be devices, and add the radio."""
        assert self._proved is not None
        if user_input is not None:
            return self.async_create_entry(
                title=self._proved.identity.name,
                data=self._data,
                options={**self._options, CONF_NODES: parse_nodes(user_input)},
            )
        return self.async_show_form(
            step_id="nodes",
            data_schema=probatio.Schema(node_fields()),
            description_placeholders={
                "name": self._proved.identity.name,
                "nodes": str(self._proved.nodes),
                "favorites": str(self._proved.favorites),
            },
        )

    async def _async_add(
        self, protocol_key: str, connection: str, user_input: dict[str, Any] | None
    ) -> ConfigFlowResult:
        """Ask how to reach a radio, prove it, and add it."""
        protocol = PROTOCOLS[protocol_key]
        errors: dict[str, str] = {}
        detail = ""
        if user_input is not None:
            try:
                data = await self._async_parse_connection(protocol, connection, user_input)
                radio = endpoint_of(data)
                options = await async_parse_virtual_node(
                    self.hass, protocol, user_input.get(CONF_VIRTUAL_NODE, {}), radio
                )
                await self._async_abort_if_in_use(radio)
                proved = await self._async_probe(protocol, radio)
            except FormError as err:
                errors[err.field], detail = err.key, err.detail
            else:
                node_id = proved.identity.node_id
                await self.async_set_unique_id(node_id, raise_on_progress=False)
                self._abort_if_unique_id_configured(reload_on_update=False)
                self._proved, self._data = proved, data
                self._options = {CONF_VIRTUAL_NODE: options}
                return await self.async_step_nodes()
        schema = probatio.Schema(
            {
                **connection_fields(protocol, connection),
                probatio.Optional(CONF_VIRTUAL_NODE): virtual_node_section(
                    protocol, collapsed=CONF_VIRTUAL_NODE not in errors
                ),
            }
        )
        return self.async_show_form(
            step_id=f"{protocol.key}_{connection}",
            data_schema=self.add_suggested_values_to_schema(schema, user_input or self._discovered),
            errors=errors,
            description_placeholders={"detail": detail},
        )

    async def _async_parse_connection(
        self, protocol: RadioProtocol, connection: str, user_input: dict[str, Any]
    ) -> dict[str, Any]:
        """Return the entry's data for what a form says.

        Raises:
            FormError: It is not how a radio is reached.
        """
        data = {CONF_PROTOCOL: protocol.key, CONF_CONNECTION: connection}
        if connection == CONNECTION_TCP:
            return {
                **data,
                CONF_HOST: _host(user_input[CONF_HOST]),
                CONF_PORT: user_input[CONF_PORT],
            }
        device = user_input[CONF_DEVICE].strip()
        # Numbered names change with the order in which devices are plugged in.
        return {
            **data,
            CONF_DEVICE: await self.hass.async_add_executor_job(usb.get_serial_by_id, device),
        }

    async def _async_probe(self, protocol: RadioProtocol, radio: Endpoint) -> ProbeResult:
        """Let a radio say who it is and whom it knows.

        Raises:
            FormError: It does not.
        """
        try:
            return await protocol.probe(radio)
        except ProbeError as err:
            raise FormError(err.reason.value) from err
        except Exception as err:
            _LOGGER.exception("Unexpected error while proving %s", radio)
            raise FormError("unknown") from err

    async def _async_abort_if_in_use(
        self, radio: Endpoint, entry: MeshMonitorConfigEntry | None = None
    ) -> None:
        """Leave a radio alone that another entry has: a second connection would cut the first."""
        for other in self._async_current_entries(include_ignore=False):
            if other is not entry and await self._async_is_same(radio, _endpoint(other)):
                raise AbortFlow("already_configured")

    async def _async_is_same(self, one: Endpoint, other: Endpoint | None) -> bool:
        """Return whether two endpoints lead to the same place, as far as can be told from here."""
        if one == other:
            return True
        if isinstance(one, TcpEndpoint) and isinstance(other, TcpEndpoint):
            return one.port == other.port and not (await async_resolve(one.host)).isdisjoint(
                await async_resolve(other.host)
            )
        if isinstance(one, SerialEndpoint) and isinstance(other, SerialEndpoint):
            return await self.hass.async_add_executor_job(_is_same_file, one.device, other.device)
        return False

    async def _async_is_virtual_node(self, radio: TcpEndpoint) -> bool:
        """Return whether one of our own virtual nodes is what listens there."""
        ports = {
            entry.runtime_data.source.virtual_node.status.port
            for entry in self.hass.config_entries.async_loaded_entries(DOMAIN)
            if entry.runtime_data.source.virtual_node.is_running
        }
        return radio.port in ports and await async_is_here(radio.host)

    async def _async_may_move(self, entry: MeshMonitorConfigEntry, radio: TcpEndpoint) -> bool:
        """Return whether a radio that was discovered is where its entry should look for it now."""
        known = _endpoint(entry)
        if not isinstance(known, TcpEndpoint) or await self._async_is_same(known, radio):
            return False
        # Who answers where the entry looks for it has one more address, no other one.
        return not (entry.state is ConfigEntryState.LOADED and entry.runtime_data.is_available)


def _endpoint(entry: MeshMonitorConfigEntry) -> Endpoint | None:
    """Return where an entry's radio is; None for an offer that was ignored, or a damaged entry."""
    try:
        return endpoint_of(entry.data)
    except KeyError:
        return None


def connection_fields(protocol: RadioProtocol, connection: str) -> dict[probatio.Marker, Any]:
    """Return the fields that ask how to reach a radio."""
    if connection == CONNECTION_SERIAL:
        return {probatio.Required(CONF_DEVICE): SerialPortSelector()}
    return {
        probatio.Required(CONF_HOST): TextSelector(),
        probatio.Required(CONF_PORT, default=protocol.radio_port): PORT_SELECTOR,
    }


def _host(text: str) -> str:
    """Return the host that a text names.

    Raises:
        FormError: It names none.
    """
    host = text.strip()
    try:
        return str(ip_address(host.removeprefix("[").removesuffix("]")))
    except ValueError:
        pass
    try:
        name = host.encode("idna").decode()
    except UnicodeError:
        name = ""
    labels = name.removesuffix(".").split(".")
    # Four numbers that are no address are no name either.
    if all(_HOST_LABEL.fullmatch(label) for label in labels) and not labels[-1].isdigit():
        return host
    raise FormError("invalid_host", text, CONF_HOST)


def _is_same_file(one: str, other: str) -> bool:
    return Path(one).resolve() == Path(other).resolve()
