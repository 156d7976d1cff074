"""Changes what can be changed while a source runs on."""

from collections.abc import Mapping
from typing import Any

from homeassistant.config_entries import ConfigEntryState, ConfigFlowResult, OptionsFlow
import probatio

from .const import CONF_NODES, CONF_NOTIFY_CONTACTS, CONF_PICKED, CONF_PROTOCOL, CONF_VIRTUAL_NODE
from .coordinator import MeshMonitorConfigEntry
from .mesh.model import Node
from .node_form import node_fields, node_selector, parse_nodes, picked_field
from .ports import FormError
from .protocols import PROTOCOLS, endpoint_of
from .virtual_node_form import async_parse_virtual_node, shown_options, virtual_node_section


class MeshMonitorOptionsFlow(OptionsFlow):
    """Asks for the options of a source, one part at a time."""

    async def async_step_init(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Ask what is to be changed."""
        return self.async_show_menu(
            step_id="init",
            menu_options=[CONF_VIRTUAL_NODE, CONF_NODES, "notifications"],
        )

    async def async_step_virtual_node(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask how the virtual node is to serve."""
        entry: MeshMonitorConfigEntry = self.config_entry
        protocol = PROTOCOLS[entry.data[CONF_PROTOCOL]]
        errors: dict[str, str] = {}
        detail = ""
        if user_input is not None:
            try:
                virtual_node = await async_parse_virtual_node(
                    self.hass,
                    protocol,
                    user_input.get(CONF_VIRTUAL_NODE, {}),
                    endpoint_of(entry.data),
                    entry,
                )
            except FormError as err:
                errors[err.field], detail = err.key, err.detail
            else:
                return self._save(CONF_VIRTUAL_NODE, virtual_node)
        schema = probatio.Schema(
            {probatio.Required(CONF_VIRTUAL_NODE): virtual_node_section(protocol, collapsed=False)}
        )
        stored = {CONF_VIRTUAL_NODE: shown_options(entry.options.get(CONF_VIRTUAL_NODE, {}))}
        return self.async_show_form(
            step_id=CONF_VIRTUAL_NODE,
            data_schema=self.add_suggested_values_to_schema(schema, user_input or stored),
            errors=errors,
            description_placeholders={"name": entry.title, "detail": detail},
        )

    async def async_step_nodes(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Ask which nodes of the mesh are to be devices."""
        if user_input is not None:
            return self._save(CONF_NODES, parse_nodes(user_input))
        chosen: Mapping[str, Any] = self.config_entry.options.get(CONF_NODES, {})
        nodes = self._nodes
        favorites = sum(node.is_favorite and not node.is_own for node in nodes.values())
        schema = probatio.Schema(
            {**node_fields(), **picked_field(nodes, chosen.get(CONF_PICKED, []))}
        )
        return self.async_show_form(
            step_id=CONF_NODES,
            data_schema=self.add_suggested_values_to_schema(schema, chosen),
            description_placeholders={
                "name": self.config_entry.title,
                "nodes": str(len(nodes)),
                "favorites": str(favorites),
            },
        )

    async def async_step_notifications(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask which nodes are to have a notify entity."""
        if user_input is not None:
            return self._save(CONF_NOTIFY_CONTACTS, user_input.get(CONF_NOTIFY_CONTACTS, []))
        options = self.config_entry.options
        selector = node_selector(
            self._nodes,
            options.get(CONF_NOTIFY_CONTACTS, []),
            lambda node: node.is_messageable and not node.is_own,
        )
        schema = probatio.Schema({probatio.Optional(CONF_NOTIFY_CONTACTS, default=list): selector})
        return self.async_show_form(
            step_id="notifications",
            data_schema=self.add_suggested_values_to_schema(schema, options),
            description_placeholders={"name": self.config_entry.title},
        )

    @property
    def _nodes(self) -> Mapping[str, Node]:
        """The nodes that are known now."""
        entry: MeshMonitorConfigEntry = self.config_entry
        is_loaded = entry.state is ConfigEntryState.LOADED
        return entry.runtime_data.source.nodes if is_loaded else {}

    def _save(self, part: str, value: Any) -> ConfigFlowResult:
        """Change one part of the options, and leave the others as they are."""
        return self.async_create_entry(data={**self.config_entry.options, part: value})
