"""Limits on how often an address connects, and on what else than frames it sends."""

from ipaddress import ip_address

from custom_components.meshmonitor.mesh.admission import (
    ATTEMPT_RATE,
    ATTEMPTS_PER_CLIENT,
    GARBAGE_LIMIT,
    HOSTS_PER_NETWORK,
    REMEMBERED_ADDRESSES,
    SHUT_OUT,
    Gate,
    Rejection,
)
from custom_components.meshmonitor.mesh.bucket import Bucket

HOME = ip_address("127.0.0.1")
OTHER = ip_address("192.168.1.2")
CLIENTS = 32
BURST = ATTEMPTS_PER_CLIENT * CLIENTS


def test_a_bucket_refills_to_its_capacity() -> None:
    """A bucket refills to its capacity, and may be overdrawn once."""
    bucket = Bucket(10, 2, 0.0)
    assert bucket.delay(0.0) == 0
    bucket.take(12, 0.0)
    assert bucket.delay(0.0) == 1.5
    assert bucket.delay(1.0) == 0.5
    assert bucket.delay(1.5) == 0
    for _ in range(10):
        bucket.take(1, 1000.0)
    assert bucket.delay(1000.0) == 0.5


def test_a_clock_that_goes_back_gives_nothing() -> None:
    """A clock that goes back gives nothing."""
    bucket = Bucket(1, 1, 100.0)
    bucket.take(1, 100.0)
    assert bucket.delay(50.0) == 1.0


def test_a_storm_of_connections_is_turned_away_and_forgiven() -> None:
    """A storm of connections is turned away, and forgiven: this host's own as any other's."""
    for address in (HOME, OTHER, ip_address("::1")):
        gate = Gate()
        assert [gate.attempt(address, CLIENTS, 0.0) for _ in range(BURST)] == [None] * BURST
        assert gate.attempt(address, CLIENTS, 0.0) is Rejection.TOO_MANY_ATTEMPTS
        assert gate.attempt(ip_address("10.0.0.1"), CLIENTS, 0.0) is None
        assert gate.attempt(address, CLIENTS, 1.1 / ATTEMPT_RATE) is None


def test_garbage_shuts_an_address_out_for_a_while() -> None:
    """Garbage shuts an address out for a while, and no other."""
    gate = Gate()
    assert not gate.garbage(HOME, int(GARBAGE_LIMIT) - 1, CLIENTS, 0.0)
    assert gate.garbage(HOME, 1, CLIENTS, 0.0)
    assert gate.attempt(HOME, CLIENTS, SHUT_OUT - 1) is Rejection.GARBAGE
    assert gate.attempt(OTHER, CLIENTS, SHUT_OUT - 1) is None
    assert gate.attempt(HOME, CLIENTS, SHUT_OUT) is None
    assert not gate.garbage(HOME, 1, CLIENTS, SHUT_OUT)


def test_the_wake_up_bytes_of_apps_are_no_garbage() -> None:
    """The few bytes with which apps wake a radio are never too much."""
    gate = Gate()
    for second in range(10_000):
        assert not gate.garbage(HOME, 32, CLIENTS, float(second))


def test_an_ipv6_host_gains_little_by_changing_its_address() -> None:
    """An IPv6 host gains little by changing its address, which costs other networks nothing."""
    gate = Gate()
    for number in range(BURST * HOSTS_PER_NETWORK):
        assert gate.attempt(ip_address(f"fd00::{number:x}"), CLIENTS, 0.0) is None
    other = ip_address("fd00::ffff")
    assert gate.attempt(other, CLIENTS, 0.0) is Rejection.TOO_MANY_ATTEMPTS
    assert gate.attempt(other, CLIENTS, 1.1 / (ATTEMPT_RATE * HOSTS_PER_NETWORK)) is None
    assert gate.attempt(ip_address("fd00:0:0:1::1"), CLIENTS, 0.0) is None


def test_an_ipv6_host_does_not_pay_for_its_neighbours() -> None:
    """Hosts at home share one IPv6 network: what one of them does is not held against another."""
    gate = Gate()
    bad, good = ip_address("fe80::1"), ip_address("fe80::2")
    for _ in range(BURST * HOSTS_PER_NETWORK * 2):
        gate.attempt(bad, CLIENTS, 0.0)
    assert gate.garbage(bad, int(GARBAGE_LIMIT), CLIENTS, 0.0)
    assert gate.attempt(bad, CLIENTS, SHUT_OUT - 1) is Rejection.GARBAGE
    assert gate.attempt(good, CLIENTS, 0.0) is None


def test_what_is_remembered_is_bounded() -> None:
    """What is remembered is bounded."""
    gate = Gate()
    for number in range(REMEMBERED_ADDRESSES * 2):
        gate.attempt(ip_address(number + 1), CLIENTS, 0.0)
    assert len(gate) == REMEMBERED_ADDRESSES
