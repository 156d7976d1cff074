"""Who may connect to a virtual node, and who may administer the radio through it."""

from collections import Counter, OrderedDict
from collections.abc import Iterable
from enum import StrEnum
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from .bucket import Bucket

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

REMEMBERED_ADDRESSES: Final = 256
LOGGED_AT_ONCE: Final = 64.0
"""Addresses that are worth a log line each, however fast they come. A host can take thousands."""
LOGGED_RATE: Final = 1 / 60
"""Such addresses a second for as long as there are any."""
ATTEMPTS_PER_CLIENT: Final = 4
"""All clients that there may be can come back so often at once, from one address."""
ATTEMPT_RATE: Final = 4.0
"""Attempts a second that an address may make for as long as it likes."""
GARBAGE_LIMIT: Final = 8192.0
"""Bytes that no client sends, from one address, until it is shut out. Apps write a few before
their frames to wake a sleeping radio."""
GARBAGE_RATE: Final = 32.0
"""Such bytes a second that are forgiven."""
SHUT_OUT: Final = 60.0
"""Seconds for which an address that sent too much of that is turned away."""
_IPV6_NETWORK_BITS: Final = 64
HOSTS_PER_NETWORK: Final = 8
"""An IPv6 network may try as often as so many addresses of it that do all they may."""


class Rejection(StrEnum):
    """Why a client was turned away."""

    NETWORK = "network_not_allowed"
    TOO_MANY_CLIENTS = "too_many_clients"
    TOO_MANY_ATTEMPTS = "too_many_attempts"
    GARBAGE = "garbage"


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


def is_in(address: IPAddress, networks: tuple[IPNetwork, ...]) -> bool:
    """Return whether an address belongs to one of the networks."""
    number = int(address)
    return any(
        version == address.version and number & mask == prefix
        for version, prefix, mask in _as_numbers(networks)
    )


@lru_cache(maxsize=16)
def _as_numbers(networks: tuple[IPNetwork, ...]) -> tuple[tuple[int, int, int], ...]:
    """Return version, prefix and mask of each: a crowd that comes at once is looked up in these."""
    return tuple(
        (network.version, int(network.network_address), int(network.netmask))
        for network in networks
    )


class AdmissionLog:
    """Counts who was turned away, and says whether an address is worth a log line.

    Times are monotonic seconds.
    """

    def __init__(self) -> None:
        """Start with nobody turned away."""
        self.counts: Counter[Rejection] = Counter()
        self._seen: OrderedDict[tuple[IPAddress | None, Rejection], None] = OrderedDict()
        self._lines = Bucket(LOGGED_AT_ONCE, LOGGED_RATE, 0.0)

    def note(self, address: IPAddress | None, rejection: Rejection, now: float) -> bool:
        """Count a rejection; returns whether it is to be logged.

        That is the first of its kind for an address, unless very many addresses come.

        Args:
            address: Who was turned away, where that is known.
            rejection: Why.
            now: The present.
        """
        self.counts[rejection] += 1
        key = (address, rejection)
        if key in self._seen:
            self._seen.move_to_end(key)
            return False
        if self._lines.delay(now):
            return False
        self._lines.take(1, now)
        self._seen[key] = None
        if len(self._seen) > REMEMBERED_ADDRESSES:
            self._seen.popitem(last=False)
        return True


class _Guest:
    """What is remembered of one address."""

    __slots__ = ("attempts", "garbage", "shut_out_until")

    def __init__(self, attempts: float, rate: float, now: float) -> None:
        self.attempts = Bucket(attempts, rate, now)
        self.garbage = Bucket(GARBAGE_LIMIT, GARBAGE_RATE, now)
        self.shut_out_until = float("-inf")


class Gate:
    """Limits how often an address connects, and what else than frames it sends.

    Whoever it is: this very host has no privilege. An IPv6 host can take any address of its
    network, so there is a limit for that, too. It is wider, since all hosts at home are in one such
    network, and none of them is to pay for another. Times are monotonic seconds.
    """

    def __init__(self) -> None:
        """Start without having seen anybody."""
        self._guests: OrderedDict[IPAddress | IPv6Network, _Guest] = OrderedDict()

    def __len__(self) -> int:
        """Return how many addresses are remembered."""
        return len(self._guests)

    def attempt(self, address: IPAddress, max_clients: int, now: float) -> Rejection | None:
        """Count a connection attempt; returns why it fails, if it does.

        Args:
            address: Who tries.
            max_clients: How many clients there may be.
            now: The present.
        """
        guest = self._guest(address, max_clients, now)
        if now < guest.shut_out_until:
            return Rejection.GARBAGE
        limits = [guest.attempts]
        if isinstance(address, IPv6Address):
            network = IPv6Network((address, _IPV6_NETWORK_BITS), strict=False)
            limits.append(self._guest(network, max_clients, now, HOSTS_PER_NETWORK).attempts)
        if any(limit.delay(now) for limit in limits):
            return Rejection.TOO_MANY_ATTEMPTS
        for limit in limits:
            limit.take(1, now)
        return None

    def garbage(self, address: IPAddress, amount: int, max_clients: int, now: float) -> bool:
        """Count bytes that no client sends; returns whether it was too much."""
        guest = self._guest(address, max_clients, now)
        guest.garbage.take(amount, now)
        if not guest.garbage.delay(now):
            return False
        guest.shut_out_until = now + SHUT_OUT
        guest.garbage = Bucket(GARBAGE_LIMIT, GARBAGE_RATE, now)
        return True

    def _guest(
        self, key: IPAddress | IPv6Network, max_clients: int, now: float, hosts: int = 1
    ) -> _Guest:
        attempts = float(ATTEMPTS_PER_CLIENT * max_clients * hosts)
        guest = self._guests.get(key)
        if guest is None:
            guest = self._guests[key] = _Guest(attempts, ATTEMPT_RATE * hosts, now)
        guest.attempts.capacity = attempts
        self._guests.move_to_end(key)
        if len(self._guests) > REMEMBERED_ADDRESSES:
            self._guests.popitem(last=False)
        return guest
