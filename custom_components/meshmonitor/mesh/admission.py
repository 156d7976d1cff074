"""Who may connect to a virtual node, and who may administer the radio through it."""

from collections import Counter, OrderedDict
from collections.abc import Collection, Iterable
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

type IPAddress = IPv4Address | IPv6Address
type IPNetwork = IPv4Network | IPv6Network

DEFAULT_ALLOWED_NETWORKS: Final[tuple[IPNetwork, ...]] = tuple(
    ip_network(network)
    for network in (
        "127.0.0.0/8",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "169.254.0.0/16",
        # Carrier-grade NAT, which private overlay networks use for their hosts (RFC 6598).
        "100.64.0.0/10",
        "::1/128",
        "fc00::/7",
        "fe80::/10",
    )
)

_REMEMBERED_ADDRESSES: Final = 256


class Rejection(StrEnum):
    """Why a client was turned away."""

    NETWORK = "network_not_allowed"
    TOO_MANY_CLIENTS = "too_many_clients"


def parse_networks(texts: Iterable[str]) -> tuple[IPNetwork, ...]:
    """Return the networks that the texts name; a lone address is a network of one.

    Raises:
        ValueError: A text names no network.
    """
    return tuple(ip_network(text.strip(), strict=False) for text in texts)


def parse_address(text: str) -> IPAddress:
    """Return a peer's address: without scope, and IPv4 as such where it came mapped into IPv6.

    Raises:
        ValueError: The text is no address.
    """
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def is_in(address: IPAddress, networks: Collection[IPNetwork]) -> bool:
    """Return whether an address belongs to one of the networks."""
    return any(address.version == network.version and address in network for network in networks)


class AdmissionLog:
    """Counts who was turned away, and says whether an address is worth a log line."""

    def __init__(self) -> None:
        """Start with nobody turned away."""
        self.counts: Counter[Rejection] = Counter()
        self._seen: OrderedDict[tuple[IPAddress | None, Rejection], None] = OrderedDict()

    def note(self, address: IPAddress | None, rejection: Rejection) -> bool:
        """Count a rejection; returns whether it is the first of its kind for this address."""
        self.counts[rejection] += 1
        key = (address, rejection)
        if key in self._seen:
            self._seen.move_to_end(key)
            return False
        self._seen[key] = None
        if len(self._seen) > _REMEMBERED_ADDRESSES:
            self._seen.popitem(last=False)
        return True
