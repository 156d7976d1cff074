"""Who may connect, by address."""

from ipaddress import ip_address, ip_network

import pytest

from custom_components.meshmonitor.mesh.admission import (
    DEFAULT_ALLOWED_NETWORKS,
    LOGGED_AT_ONCE,
    LOGGED_RATE,
    REMEMBERED_ADDRESSES,
    AdmissionLog,
    Rejection,
    is_in,
    parse_address,
    parse_networks,
)


@pytest.mark.parametrize(
    ("text", "is_allowed"),
    [
        ("127.0.0.1", True),
        ("127.255.255.254", True),
        ("10.1.2.3", True),
        ("172.15.255.255", False),
        ("172.16.0.1", True),
        ("172.31.255.255", True),
        ("172.32.0.0", False),
        ("192.168.1.1", True),
        ("192.169.0.1", False),
        ("169.254.7.7", True),
        ("100.63.255.255", False),
        ("100.64.0.1", True),
        ("100.127.255.255", True),
        ("100.128.0.0", False),
        ("8.8.8.8", False),
        ("0.0.0.0", False),
        ("::1", True),
        ("::2", False),
        ("fe80::1", True),
        ("fe80::1%eth0", True),
        ("fec0::1", False),
        ("fd12:3456::1", True),
        ("fc00::1", True),
        ("2001:db8::1", False),
        ("::ffff:192.168.1.1", True),
        ("::ffff:8.8.8.8", False),
        ("64:ff9b::192.168.1.1", False),
    ],
)
def test_default_networks(text: str, is_allowed: bool) -> None:
    """Private, link-local, loopback and carrier-grade NAT, in both families, and nothing else."""
    assert is_in(parse_address(text), DEFAULT_ALLOWED_NETWORKS) is is_allowed


def test_mapped_addresses_are_what_they_map() -> None:
    """A rule for IPv4 holds however the connection came in."""
    assert parse_address("::ffff:10.0.0.1") == ip_address("10.0.0.1")
    assert parse_address("fe80::1%2") == ip_address("fe80::1")
    for nonsense in ("", "radio.local", "10.0.0.256"):
        with pytest.raises(ValueError):
            parse_address(nonsense)


def test_networks_from_texts() -> None:
    """A lone address is a network of one; bits of a host do not matter; nonsense is an error."""
    assert parse_networks(["10.0.0.1", " 192.168.1.7/24 ", "fd00::1/8"]) == (
        ip_network("10.0.0.1/32"),
        ip_network("192.168.1.0/24"),
        ip_network("fd00::/8"),
    )
    assert parse_networks([]) == ()
    for nonsense in ("", "10.0.0.0/33", "everybody"):
        with pytest.raises(ValueError):
            parse_networks([nonsense])


def test_families_do_not_mix() -> None:
    """All of one family is nothing of the other."""
    everything = parse_networks(["0.0.0.0/0"])
    assert is_in(ip_address("8.8.8.8"), everything)
    assert not is_in(ip_address("2001:db8::1"), everything)
    assert not is_in(ip_address("8.8.8.8"), parse_networks(["::/0"]))
    assert not is_in(ip_address("127.0.0.1"), ())


def test_each_address_is_worth_one_line() -> None:
    """Every rejection is counted; the first of each kind for each address is to be logged."""
    log = AdmissionLog()
    one, other = ip_address("192.0.2.1"), ip_address("192.0.2.2")
    assert log.note(one, Rejection.NETWORK, 0.0)
    assert not log.note(one, Rejection.NETWORK, 0.0)
    assert log.note(one, Rejection.TOO_MANY_CLIENTS, 0.0)
    assert log.note(other, Rejection.NETWORK, 0.0)
    assert log.note(None, Rejection.NETWORK, 0.0)
    assert not log.note(None, Rejection.NETWORK, 0.0)
    assert log.counts == {Rejection.NETWORK: 5, Rejection.TOO_MANY_CLIENTS: 1}


def test_ever_other_addresses_fill_neither_memory_nor_the_log() -> None:
    """Ever other addresses fill neither memory nor the log; who keeps coming stays known."""
    log = AdmissionLog()
    faithful = ip_address("192.0.2.1")
    log.note(faithful, Rejection.NETWORK, 0.0)
    lines = 0
    for number in range(5000):
        lines += log.note(ip_address(0x20010DB8 << 96 | number), Rejection.NETWORK, float(number))
        assert not log.note(faithful, Rejection.NETWORK, float(number))
    assert LOGGED_AT_ONCE <= lines <= LOGGED_AT_ONCE + 5000 * LOGGED_RATE
    assert len(log._seen) <= REMEMBERED_ADDRESSES
    assert log.counts[Rejection.NETWORK] == 10001
    assert log.note(ip_address("192.0.2.2"), Rejection.NETWORK, 5000 + 2 / LOGGED_RATE)
