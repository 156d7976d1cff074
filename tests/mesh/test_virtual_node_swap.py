"""Hot swap: ports, addresses and rights change while clients are there, and binding may fail."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
import logging
import socket

import pytest

from custom_components.meshmonitor.mesh import virtual_node as virtual_node_module
from custom_components.meshmonitor.mesh.admission import parse_networks
from custom_components.meshmonitor.mesh.virtual_node import ALL_INTERFACES
from tests.mesh.nodes import Node, is_served, said, tasks
from tests.mesh.peers import open_files, until
from tests.mesh.phones import Phone
from tests.ports import free_port

IN_USE = "Address already in use"
NOT_HERE = "Cannot assign requested address"
ELSEWHERE = "203.0.113.5"
"""An address for documentation, which no host has."""


@contextmanager
def occupied(host: str = "127.0.0.1") -> Iterator[int]:
    """Hold a port that another program listens at."""
    with socket.create_server((host, 0)) as sock:
        port = sock.getsockname()[1]
        assert isinstance(port, int)
        yield port


@pytest.fixture
async def node(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Node]:
    """Return a virtual node that listens, and tries again soon where it cannot."""
    caplog.set_level(logging.INFO, virtual_node_module.__name__)
    monkeypatch.setattr(virtual_node_module, "BIND_RETRY", 0.03)
    before = open_files()
    made = Node()
    await made.virtual_node.start()
    caplog.clear()
    yield made
    await made.end()
    await until(lambda: open_files() <= before)


def bind_error(node: Node) -> str | None:
    """Return what keeps it from listening, which the type checker takes for unchanged otherwise."""
    return node.virtual_node.bind_error


async def refused(port: int) -> bool:
    """Return whether nobody listens there."""
    try:
        phone = await Phone.connect(port)
    except ConnectionError:
        # Reset rather than refused where the listener goes in this moment.
        return True
    phone.sock.close()
    return False


async def test_another_port(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    """The new one is there before the old one is gone; clients come back at the new one."""
    old, new = node.port, free_port()
    phone = await node.phone()
    caplog.clear()
    await node.apply(port=new)
    assert await phone.read_to_end() == b""
    assert await refused(old)
    assert node.virtual_node.status.port == new
    await node.phone()
    assert said(caplog)[:4] == [
        f"Starting virtual node server on port {new} (test)",
        "Virtual node server stopped (test)",
        f"Virtual node server listening on 127.0.0.1:{new} (test)",
        "Virtual node: client disconnected vn-1: virtual node moved (test)",
    ]


async def test_there_is_no_gap(node: Node) -> None:
    """While it moves, one of the two ports always answers."""
    for _ in range(5):
        old, new = node.port, free_port()
        moving = asyncio.create_task(node.apply(port=new))
        while not moving.done():
            assert not (await refused(old) and await refused(new))
        await moving
        assert not await refused(new)


async def test_who_comes_while_it_moves(node: Node) -> None:
    """A client of the new port is served while those of the old one are still being sent away."""
    await node.phone()
    (client,) = node.virtual_node.clients.values()
    transport = client._transport
    assert transport is not None
    # Not so much that it counts as slow, but too much to leave at once.
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    while not transport.get_write_buffer_size():
        client.send(bytes(8192))
        await asyncio.sleep(0)
    old, new = node.port, free_port()
    moving = asyncio.create_task(node.apply(port=new))
    while await refused(new):
        assert not await refused(old)
    phone = await node.phone()
    assert not moving.done()
    await moving
    assert await is_served(phone)
    assert "vn-1" not in node.virtual_node.clients


async def test_another_address_on_the_same_port(node: Node) -> None:
    """From one to all, to another, and back; clients of the former place are sent away."""
    for address, source in [
        (ALL_INTERFACES, "127.0.0.1"),
        ("127.0.0.2", "127.0.0.2"),
        ("127.0.0.1", "127.0.0.1"),
        ("::1", "::1"),
        (ALL_INTERFACES, "::1"),
        ("127.0.0.1", "127.0.0.1"),
    ]:
        await node.apply(bind_address=address)
        assert bind_error(node) is None
        phone = await node.phone(host=source)
        await node.apply(bind_address=address)
        assert await is_served(phone), "nothing has changed"
    assert await refused(node.port) is False
    with pytest.raises(ConnectionRefusedError):
        await Phone.connect(node.port, host="127.0.0.2")


async def test_enable_and_disable(node: Node) -> None:
    """As often as one likes."""
    for _ in range(3):
        phone = await node.phone()
        await node.apply(enabled=False)
        assert await phone.read_to_end() == b""
        assert await refused(node.port)
        assert not node.virtual_node.status.is_enabled
        await node.apply(enabled=True)
    await node.phone()


async def test_flags_keep_the_clients(node: Node) -> None:
    """A change of rights alone costs nobody its connection, nor interrupts the listener."""
    phone = await node.phone()
    listener = node.virtual_node._server
    await node.apply(allow_admin_commands=True)
    await node.apply(admin_networks=parse_networks(["10.0.0.0/8"]))
    await node.apply(allow_destructive_commands=True, max_clients=1)
    await node.apply(allowed_networks=parse_networks(["127.0.0.1"]))
    assert await is_served(phone)
    assert node.virtual_node._server is listener


async def test_narrower_networks(node: Node) -> None:
    """Only those who are no longer allowed go, at once."""
    phones = {source: await node.phone(source=source) for source in ("127.0.0.2", "127.0.0.3")}
    await node.apply(allowed_networks=parse_networks(["127.0.0.2"]))
    assert await phones["127.0.0.3"].read_to_end() == b""
    assert await is_served(phones["127.0.0.2"])
    assert [str(client.address) for client in node.virtual_node.clients.values()] == ["127.0.0.2"]


async def test_fewer_clients(node: Node) -> None:
    """Those who came last go."""
    phones = [await node.phone() for _ in range(4)]
    await node.apply(max_clients=2)
    assert [await is_served(phone) for phone in phones] == [True, True, False, False]


async def test_port_in_use(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    """The old one serves on; the new one is tried again, logged once, and taken when it is free."""
    phone = await node.phone()
    old = node.port
    caplog.clear()
    with occupied() as port:
        changes = node.changes
        await node.apply(port=port)
        assert node.changes == changes + 1
        assert bind_error(node) == IN_USE
        status = node.virtual_node.status
        assert (status.is_running, status.port, status.bind_error) == (True, old, IN_USE)
        assert await is_served(phone)
        assert not await refused(old)
        await until(lambda: node.changes >= changes + 4)
        assert tasks() == ["meshmonitor virtual node test"]
    assert said(caplog, level=logging.WARNING) == [
        f"test: the virtual node cannot listen on port {port}: {IN_USE}; trying again"
    ]
    await until(lambda: node.virtual_node.bind_error is None)
    assert node.virtual_node.status.port == port
    assert await phone.read_to_end() == b""
    assert await refused(old)
    await node.phone()
    starting = [line for line in said(caplog) if line.startswith("Starting virtual node server")]
    assert starting == [f"Starting virtual node server on port {port} (test)"]


async def test_port_in_use_from_the_start(node: Node) -> None:
    """Starting never fails; the listener follows when it can."""
    with occupied() as port:
        other = Node(port=port)
        await other.virtual_node.start()
        assert bind_error(other) == IN_USE
        assert not other.virtual_node.status.is_running
    await until(lambda: other.virtual_node.is_running)
    assert bind_error(other) is None
    await other.phone()
    await other.end()


async def test_stop_while_it_tries(node: Node) -> None:
    """Disabling, stopping and another choice end the attempts."""
    old = node.port
    with occupied() as port:
        await node.apply(port=port)
        await node.apply(port=old)
        assert bind_error(node) is None
        assert tasks() == []
        await node.apply(port=port)
        await node.apply(enabled=False)
        assert bind_error(node) is None
        assert tasks() == []
        await node.apply(enabled=True)
        assert not node.virtual_node.is_running
        await node.virtual_node.stop()
        assert tasks() == []
    assert await refused(old)
    assert await refused(port)


async def test_one_port_in_use_after_another(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    """Each choice is worth its own line."""
    with occupied() as one, occupied() as other:
        await node.apply(port=one)
        await node.apply(port=other)
    assert said(caplog) == [
        line
        for port in (one, other)
        for line in (
            f"Starting virtual node server on port {port} (test)",
            f"test: the virtual node cannot listen on port {port}: {IN_USE}; trying again",
        )
    ]


@pytest.mark.parametrize(
    ("address", "error"),
    [(ELSEWHERE, NOT_HERE), ("no..name", "UnicodeEncodeError"), ("127.0.0.1%nonsense", None)],
)
async def test_address_that_is_not_here(
    node: Node, address: str, error: str | None, names: None
) -> None:
    """On the same port, too, the listener that is there goes on as if nothing had been asked."""
    phone = await node.phone()
    listener = node.virtual_node._server
    changes = node.changes
    await node.apply(bind_address=address)
    await until(lambda: node.changes >= changes + 3)
    assert bind_error(node)
    assert error is None or node.virtual_node.bind_error == error
    assert node.virtual_node._server is listener
    assert await is_served(phone)
    await node.apply(bind_address="127.0.0.1")
    assert bind_error(node) is None
    assert node.virtual_node._server is listener


async def test_port_that_is_none(node: Node) -> None:
    """A number that cannot be one is an error like others."""
    old = node.port
    await node.apply(port=70000)
    assert bind_error(node)
    assert not await refused(old)


async def test_same_port_held_by_another_program(node: Node) -> None:
    """Where all addresses are wanted and one is taken, the listener that was there is back."""
    with socket.create_server(("127.0.0.2", node.port)):
        changes = node.changes
        await node.apply(bind_address=ALL_INTERFACES)
        assert bind_error(node) == IN_USE
        await until(lambda: node.changes >= changes + 3)
        assert not await refused(node.port)
    await until(lambda: node.virtual_node.bind_error is None)
    await node.phone(host="127.0.0.3")


async def test_changes_in_a_hurry(node: Node) -> None:
    """Changes that overtake each other take effect one after the other; the last one counts."""
    ports = [free_port() for _ in range(6)]
    await asyncio.gather(*(node.apply(port=port) for port in ports))
    assert node.virtual_node.status.port == ports[-1]
    assert [await refused(port) for port in ports] == [True] * 5 + [False]
    await asyncio.gather(
        node.apply(enabled=False), node.apply(enabled=True), node.virtual_node.stop()
    )
    assert not node.virtual_node.is_running
