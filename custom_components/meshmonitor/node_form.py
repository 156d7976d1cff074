"""The parts of forms that ask for nodes of a mesh."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from homeassistant.helpers.selector import (
    NumberSelector,
    NumberSelectorConfig,
    NumberSelectorMode,
    SelectOptionDict,
    SelectSelector,
    SelectSelectorConfig,
    SelectSelectorMode,
)
import probatio

from .const import CONF_EXPIRE_DAYS, CONF_MODE, CONF_PICKED
from .devices import MOST_EXPIRE_DAYS, NodeChoice, NodeMode
from .mesh.model import Node

_MODE_SELECTOR: Final = SelectSelector(
    SelectSelectorConfig(
        options=[mode.value for mode in NodeMode],
        mode=SelectSelectorMode.LIST,
        translation_key="node_mode",
    )
)
_DAYS_SELECTOR: Final = probatio.All(
    NumberSelector(
        NumberSelectorConfig(
            min=0,
            max=MOST_EXPIRE_DAYS,
            step=1,
            mode=NumberSelectorMode.BOX,
            unit_of_measurement="days",
            translation_key="expire_days",
        )
    ),
    probatio.Coerce(int),
)


def node_fields() -> dict[probatio.Marker, Any]:
    """Return the fields that ask which nodes are to be devices."""
    defaults = NodeChoice()
    return {
        probatio.Required(CONF_MODE, default=defaults.mode.value): _MODE_SELECTOR,
        probatio.Required(CONF_EXPIRE_DAYS, default=defaults.expire_days): _DAYS_SELECTOR,
    }


def picked_field(nodes: Mapping[str, Node], picked: Iterable[str]) -> dict[probatio.Marker, Any]:
    """Return the field that asks which nodes are to be devices in any case.

    Args:
        nodes: The nodes that there are.
        picked: The ids of those that are picked already; the radio may have forgotten some.
    """
    return {
        probatio.Optional(CONF_PICKED, default=list): node_selector(
            nodes, picked, lambda node: not node.is_own
        )
    }


def node_selector(
    nodes: Mapping[str, Node], chosen: Iterable[str], is_offered: Callable[[Node], bool]
) -> SelectSelector:
    """Return what asks for any number of nodes.

    Args:
        nodes: The nodes that there are.
        chosen: The ids of those that are chosen already; the radio may have forgotten some.
        is_offered: Whether a node can be chosen.
    """
    labels = {node_id: node_id for node_id in chosen}
    labels |= {
        node.node_id: f"{node.name or node.short_name or '?'} ({node.node_id[:12]})"
        for node in nodes.values()
        if is_offered(node) or node.node_id in labels
    }
    return SelectSelector(
        SelectSelectorConfig(
            options=[
                SelectOptionDict(value=node_id, label=label) for node_id, label in labels.items()
            ],
            multiple=True,
            sort=True,
            mode=SelectSelectorMode.DROPDOWN,
        )
    )


def parse_nodes(user_input: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that a form asks for, as a config entry holds them."""
    return {
        CONF_MODE: user_input[CONF_MODE],
        CONF_PICKED: list(user_input.get(CONF_PICKED, [])),
        CONF_EXPIRE_DAYS: user_input[CONF_EXPIRE_DAYS],
    }
