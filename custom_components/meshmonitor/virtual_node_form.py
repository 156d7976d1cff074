"""The part of a form that asks how a virtual node is to serve."""

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any, Final

from homeassistant.const import CONF_PORT
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import section
from homeassistant.helpers.selector import (
    BooleanSelector,
    NumberSelector,
    NumberSelectorConfig,
    NumberSelectorMode,
    Selector,
    TextSelector,
    TextSelectorConfig,
)
import probatio

from .const import (
    CONF_ADMIN_NETWORKS,
    CONF_ALLOW_ADMIN,
    CONF_ALLOW_DESTRUCTIVE,
    CONF_ALLOWED_NETWORKS,
    CONF_BIND_ADDRESS,
    CONF_ENABLED,
    CONF_KEEP_MISSED,
    CONF_MAX_CLIENTS,
    CONF_VIRTUAL_NODE,
)
from .coordinator import MeshMonitorConfigEntry
from .mesh.admission import DEFAULT_ALLOWED_NETWORKS, parse_networks
from .mesh.transport import Endpoint
from .ports import FormError, async_check_port
from .protocols import RadioProtocol

MOST_CLIENTS: Final = 256
_PRIVATE_NETWORKS: Final = [str(network) for network in DEFAULT_ALLOWED_NETWORKS]


def whole_number(low: int, high: int) -> probatio.All[Any]:
    """Return what asks for a whole number in these limits."""
    return probatio.All(
        NumberSelector(
            NumberSelectorConfig(min=low, max=high, step=1, mode=NumberSelectorMode.BOX)
        ),
        probatio.Coerce(int),
    )


PORT_SELECTOR: Final = whole_number(1, 65535)
_NETWORKS_SELECTOR: Final = TextSelector(TextSelectorConfig(multiple=True))
_SELECTORS: Final[Mapping[str, Selector[Any] | probatio.All[Any]]] = {
    CONF_ENABLED: BooleanSelector(),
    CONF_PORT: PORT_SELECTOR,
    CONF_KEEP_MISSED: BooleanSelector(),
    CONF_ALLOWED_NETWORKS: _NETWORKS_SELECTOR,
    CONF_ALLOW_ADMIN: BooleanSelector(),
    CONF_ADMIN_NETWORKS: _NETWORKS_SELECTOR,
    CONF_ALLOW_DESTRUCTIVE: BooleanSelector(),
}
_RARE_SELECTORS: Final[Mapping[str, Selector[Any] | probatio.All[Any]]] = {
    CONF_BIND_ADDRESS: TextSelector(),
    CONF_MAX_CLIENTS: whole_number(1, MOST_CLIENTS),
}


def virtual_node_section(protocol: RadioProtocol, *, collapsed: bool) -> section:
    """Return the fields for a protocol's virtual node, with its defaults."""
    defaults = shown_options(default_options(protocol))
    selectors = {**_SELECTORS, **protocol.extra_options, **_RARE_SELECTORS}
    return section(
        probatio.Schema(
            {
                probatio.Optional(key, default=defaults[key]): selector
                for key, selector in selectors.items()
            }
        ),
        {"collapsed": collapsed},
    )


def default_options(protocol: RadioProtocol) -> dict[str, Any]:
    """Return a protocol's default options as a config entry holds them."""
    defaults = protocol.virtual_node_options({})
    keys = (*_SELECTORS, *_RARE_SELECTORS, *protocol.extra_options)
    return {key: _plain(getattr(defaults, key)) for key in keys}


def shown_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options as a form shows them: nobody has to read what private networks there are."""
    networks = options.get(CONF_ALLOWED_NETWORKS)
    return {**options, CONF_ALLOWED_NETWORKS: [] if networks == _PRIVATE_NETWORKS else networks}


async def async_parse_virtual_node(
    hass: HomeAssistant,
    protocol: RadioProtocol,
    user_input: Mapping[str, Any],
    radio: Endpoint,
    entry: MeshMonitorConfigEntry | None = None,
) -> dict[str, Any]:
    """Return the options that a form's section asks for, as a config entry holds them.

    Args:
        hass: Home Assistant.
        protocol: The radio's protocol.
        user_input: The section's fields; a missing one means its default.
        radio: Where the radio is.
        entry: The source's entry, where it has one already.

    Raises:
        FormError: They cannot be used, and why.
    """
    options = {**default_options(protocol), **user_input}
    for key in (CONF_ALLOWED_NETWORKS, CONF_ADMIN_NETWORKS):
        options[key] = [_network(text) for text in options[key] if text.strip()]
    # None at all would shut everybody out: that is what "enabled" is for.
    if options[CONF_ALLOWED_NETWORKS] in ([], _PRIVATE_NETWORKS):
        del options[CONF_ALLOWED_NETWORKS]
    options[CONF_BIND_ADDRESS] = _address(options[CONF_BIND_ADDRESS])
    wanted = protocol.options.from_mapping(options)
    if wanted.enabled:
        await async_check_port(hass, wanted, radio, entry)
    return options


def _network(text: str) -> str:
    try:
        return str(parse_networks([text])[0])
    except ValueError:
        raise FormError("invalid_network", text, CONF_VIRTUAL_NODE) from None


def _address(text: str) -> str:
    text = text.strip()
    try:
        return str(ip_address(text)) if text else ""
    except ValueError:
        raise FormError("invalid_bind_address", text, CONF_VIRTUAL_NODE) from None


def _plain(value: Any) -> Any:
    """Return an option's value as JSON has it."""
    if isinstance(value, tuple):
        return [str(item) for item in value]
    return value
