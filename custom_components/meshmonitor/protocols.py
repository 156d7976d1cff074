"""The radio protocols: the one place where Home Assistant's side chooses between them."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
import re
from types import MappingProxyType
from typing import Any, Final, Protocol as TypingProtocol

from homeassistant.const import CONF_DEVICE, CONF_HOST, CONF_PORT
from homeassistant.helpers.selector import (
    BooleanSelector,
    Selector,
    SelectSelector,
    SelectSelectorConfig,
)

from .const import CONF_CONNECTION, CONF_VIRTUAL_NODE, CONNECTION_SERIAL
from .mesh.source import MeshSource, ProbeResult
from .mesh.transport import Endpoint, SerialEndpoint, TcpEndpoint
from .mesh.virtual_node import VirtualNodeOptions
from .meshcore.options import DEFAULT_RADIO_PORT as MESHCORE_RADIO_PORT, MeshCoreVirtualNodeOptions
from .meshcore.probe import probe as probe_meshcore
from .meshcore.source import MeshCoreSource
from .meshtastic.options import (
    DEFAULT_RADIO_PORT as MESHTASTIC_RADIO_PORT,
    MeshtasticVirtualNodeOptions,
    SharedPosition,
)
from .meshtastic.probe import probe as probe_meshtastic
from .meshtastic.source import MeshtasticSource

HOUR: Final = 3600.0
_VERSION: Final = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")


class SourceFactory(TypingProtocol):
    """What makes a source of one protocol."""

    def __call__(
        self, endpoint: Endpoint, options: Any, *, name: str, expected_node_id: str | None
    ) -> MeshSource:
        """Make a source that is not started.

        Args:
            endpoint: Where the radio is.
            options: The protocol's own virtual-node options.
            name: What log lines call the source.
            expected_node_id: Who has to answer there.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class RadioProtocol:
    """What Home Assistant's side has to know of a radio protocol."""

    key: str
    """`entry.data["protocol"]`."""
    name: str
    make_source: SourceFactory
    probe: Callable[[Endpoint], Awaitable[ProbeResult]]
    options: type[VirtualNodeOptions]
    """The virtual node's options; all of them have defaults."""
    extra_options: Mapping[str, Selector[Any]]
    """Those options that only this protocol has, with what asks for them in a form."""
    radio_port: int
    """Where its radios listen."""
    oldest_firmware: tuple[int, int, int]
    """What all apps accept, or what this program was made for; older firmware may work in part."""
    online_limit: float
    """After how many seconds of silence a node counts as offline."""
    service_type: str | None = None
    """What its radios announce in the local network (DNS-SD), if they do."""
    is_announced: Callable[[VirtualNodeOptions], bool] | None = None
    """Whether these options want the virtual node announced likewise."""

    @property
    def virtual_node_port(self) -> int:
        """Where a virtual node listens unless it is told otherwise."""
        return self.virtual_node_options({}).port

    def is_too_old(self, firmware: str | None) -> bool:
        """Return whether a firmware's version is known, and older than it should be."""
        found = _VERSION.search(firmware or "")
        return found is not None and tuple(map(int, found.groups("0"))) < self.oldest_firmware

    def virtual_node_options(self, entry_options: Mapping[str, Any]) -> VirtualNodeOptions:
        """Return the virtual node's options out of those of a config entry.

        Raises:
            ValueError: A value is none of those that are allowed.
        """
        options: Mapping[str, Any] = entry_options.get(CONF_VIRTUAL_NODE, {})
        # Every protocol gives each option a default, the port included, which the base cannot.
        return self.options.from_mapping(options)


def endpoint_of(entry_data: Mapping[str, Any]) -> Endpoint:
    """Return where the radio of a config entry is."""
    if entry_data[CONF_CONNECTION] == CONNECTION_SERIAL:
        return SerialEndpoint(entry_data[CONF_DEVICE])
    return TcpEndpoint(entry_data[CONF_HOST], entry_data[CONF_PORT])


def _is_meshtastic_announced(options: VirtualNodeOptions) -> bool:
    return isinstance(options, MeshtasticVirtualNodeOptions) and options.announce


PROTOCOLS: Final[Mapping[str, RadioProtocol]] = MappingProxyType(
    {
        protocol.key: protocol
        for protocol in (
            RadioProtocol(
                key="meshtastic",
                name="Meshtastic",
                make_source=MeshtasticSource,
                probe=probe_meshtastic,
                options=MeshtasticVirtualNodeOptions,
                extra_options=MappingProxyType(
                    {
                        "shared_position": SelectSelector(
                            SelectSelectorConfig(
                                options=[choice.value for choice in SharedPosition],
                                translation_key="shared_position",
                            )
                        ),
                        "hide_secrets": BooleanSelector(),
                        "announce": BooleanSelector(),
                    }
                ),
                radio_port=MESHTASTIC_RADIO_PORT,
                # The Apple app connects to no older one (its `AccessoryManager`).
                oldest_firmware=(2, 5, 18),
                # The firmware's own rule for "online": nodes measure every 15 to 60 minutes.
                online_limit=2 * HOUR,
                service_type="_meshtastic._tcp.local.",
                is_announced=_is_meshtastic_announced,
            ),
            RadioProtocol(
                key="meshcore",
                name="MeshCore",
                make_source=MeshCoreSource,
                probe=probe_meshcore,
                options=MeshCoreVirtualNodeOptions,
                extra_options=MappingProxyType(
                    {
                        "share_contacts": BooleanSelector(),
                        "allow_signing": BooleanSelector(),
                        "raw_reception": BooleanSelector(),
                    }
                ),
                radio_port=MESHCORE_RADIO_PORT,
                # Protocol version 3: error codes, and messages with their signal.
                oldest_firmware=(1, 4, 0),
                # Repeaters announce themselves every 12 hours, others when their owner wants it.
                online_limit=25 * HOUR,
            ),
        )
    }
)
