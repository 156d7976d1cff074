"""The listener: who comes in, what it tells, how it ends."""

import asyncio
from collections.abc import AsyncIterator, Callable
import gc
from ipaddress import ip_network
import logging
import socket

import pytest

from custom_components.meshmonitor.mesh import virtual_node as virtual_node_module
from custom_components.meshmonitor.mesh.admission import parse_networks
from custom_components.meshmonitor.mesh.client import STALL_TIMEOUT
from custom_components.meshmonitor.mesh.handler import Worth
from custom_components.meshmonitor.mesh.virtual_node import ALL_INTERFACES, VirtualNodeOptions
from tests.mesh.nodes import Node, is_served, said
from tests.mesh.peers import open_files, until
from tests.mesh.phones import Phone

type MakeNode = Callable[..., Node]


@pytest.fixture
async def make_node() -> AsyncIterator[MakeNode]:
    """Return what makes virtual nodes, and stops them in the end."""
    nodes: list[Node] = []

    def make(**options: object) -> Node:
        nodes.append(Node(**options))  # type: ignore[arg-type]
        return nodes[-1]

    yield make
    for node in nodes:
        await node.end()


@pytest.fixture
async def node(make_node: MakeNode, caplog: pytest.LogCaptureFixture) -> Node:
    """Return a virtual node that listens."""
    caplog.set_level(logging.INFO, virtual_node_module.__name__)
    made = make_node()
    await made.virtual_node.start()
    return made


def test_options_of_an_entry() -> None:
    """A missing key means its default, networks come as texts, other keys are others' affair."""
    options = VirtualNodeOptions.from_mapping({"port": 4404})
    assert not options.enabled
    assert options.bind_address == ALL_INTERFACES
    assert not options.allow_admin_commands
    assert ip_network("192.168.0.0/16") in options.allowed_networks
    assert options.max_clients == 32
    options = VirtualNodeOptions.from_mapping(
        {
            "port": 5000,
            "enabled": True,
            "allowed_networks": ["10.0.0.1"],
            "admin_networks": ["10.0.0.0/30"],
            "unheard_of": 1,
        }
    )
    assert options.allowed_networks == (ip_network("10.0.0.1/32"),)
    assert options.admin_networks == (ip_network("10.0.0.0/30"),)
    with pytest.raises(ValueError):
        VirtualNodeOptions.from_mapping({"port": 1, "allowed_networks": ["nonsense"]})


async def test_log_lines(make_node: MakeNode, caplog: pytest.LogCaptureFixture) -> None:
    """Operators look for these very words."""
    caplog.set_level(logging.INFO, virtual_node_module.__name__)
    node = make_node(bind_address=ALL_INTERFACES)
    await node.virtual_node.start()
    phone = await node.phone(source="127.0.0.9")
    phone.sock.close()
    await until(lambda: not node.virtual_node.clients)
    await node.virtual_node.stop()
    assert said(caplog) == [
        f"Starting virtual node server on port {node.port} (test)",
        f"Virtual node server listening on 0.0.0.0:{node.port} (test)",
        "Virtual node: client connected vn-1 from 127.0.0.9 (test)",
        "Virtual node: client disconnected vn-1: closed by the client (test)",
        "Virtual node server stopped (test)",
    ]


async def test_all_interfaces(make_node: MakeNode) -> None:
    """Without an address it listens at all of them, in both families."""
    node = make_node(bind_address=ALL_INTERFACES)
    await node.virtual_node.start()
    for host in ("127.0.0.1", "127.0.0.7", "::1"):
        phone = await node.phone(host=host)
        phone.sock.close()
    await until(lambda: not node.virtual_node.clients)


async def test_status(make_node: MakeNode) -> None:
    """It tells what is going on, and says so when that changes."""
    node = make_node(enabled=False)
    status = node.virtual_node.status
    assert (status.is_enabled, status.is_running, status.port) == (False, False, node.port)
    await node.virtual_node.start()
    assert not node.virtual_node.is_running
    with pytest.raises(ConnectionRefusedError):
        await Phone.connect(node.port)
    await node.apply(enabled=True)
    changes = node.changes
    one, other = await node.phone(), await node.phone(source="127.0.0.2")
    assert node.changes == changes + 2
    status = node.virtual_node.status
    assert (status.is_enabled, status.is_running, status.bind_error) == (True, True, None)
    assert [(client.client_id, client.ip) for client in status.clients] == [
        ("vn-1", "127.0.0.1"),
        ("vn-2", "127.0.0.2"),
    ]
    assert status.rejected == {}
    one.sock.close()
    await until(lambda: node.changes == changes + 3)
    assert [client.client_id for client in node.virtual_node.status.clients] == ["vn-2"]
    await node.apply(enabled=False)
    assert await other.read_to_end() == b""
    assert not node.virtual_node.status.is_running


async def test_networks(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever is in none is turned away, this very host too: counted, and logged once each."""
    await node.apply(allowed_networks=parse_networks(["127.0.0.2", "127.0.1.0/24"]))
    for source in ("127.0.0.2", "127.0.1.77"):
        phone = await node.phone(source=source)
        assert await is_served(phone)
        phone.sock.close()
    for source in ("127.0.0.1", "127.0.0.3", "127.0.0.1", "127.0.2.1"):
        async with await Phone.connect(node.port, source=source) as stranger:
            assert await stranger.read_to_end() == b""
    assert node.virtual_node.status.rejected == {"network_not_allowed": 4}
    assert said(caplog, level=logging.WARNING) == [
        f"Virtual node: client {address} turned away: network_not_allowed (test)"
        for address in ("127.0.0.1", "127.0.0.3", "127.0.2.1")
    ]
    await until(lambda: not node.virtual_node.clients)


async def test_max_clients(node: Node) -> None:
    """One too many is turned away; when one goes, there is room again."""
    await node.apply(max_clients=2)
    one, other = await node.phone(), await node.phone()
    async with await Phone.connect(node.port) as third:
        assert await third.read_to_end() == b""
    assert node.virtual_node.status.rejected == {"too_many_clients": 1}
    assert await is_served(one)
    assert await is_served(other)
    one.sock.close()
    await until(lambda: len(node.virtual_node.clients) == 1)
    await node.phone()
    other.sock.close()


async def test_rights(node: Node) -> None:
    """Administrators are those in their networks, or everybody where there are none."""
    near, far = await node.phone(source="127.0.0.2"), await node.phone(source="127.0.0.3")

    def admins() -> list[bool]:
        return [client.is_admin for client in node.virtual_node.clients.values()]

    assert admins() == [False, False]
    await node.apply(allow_admin_commands=True)
    assert admins() == [True, True]
    await node.apply(admin_networks=parse_networks(["127.0.0.2"]))
    assert admins() == [True, False]
    await node.apply(allow_admin_commands=False)
    assert admins() == [False, False]
    # Everybody was asked to stay, and heard of each change.
    assert [recorder.rights for recorder in node.recorders()] == [
        [True, True, False],
        [True, False, False],
    ]
    assert [client.is_admin for client in node.virtual_node.status.clients] == [False, False]
    near.sock.close()
    far.sock.close()


async def test_slow_client_keeps_nobody_waiting(node: Node) -> None:
    """Neither those who read, nor the end."""
    stuck = await node.phone()
    quick = await node.phone()
    first, second = node.virtual_node.clients.values()
    while not first._paused:
        first.send(bytes(65536))
        await asyncio.sleep(0)
    for number in range(20):
        for client in (first, second):
            client.send(b"%04d" % number, Worth.NEWS)
        assert await quick.read(4) == b"%04d" % number
    await node.virtual_node.stop()
    assert await quick.read_to_end() == b""
    stuck.sock.close()


async def test_sockets_are_prompt_and_watched(node: Node) -> None:
    """Nothing is held back, and a phone that left the network is found by the system."""
    await node.phone()
    (client,) = node.virtual_node.clients.values()
    assert client._transport is not None
    sock = client._transport.get_extra_info("socket")
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == STALL_TIMEOUT * 1000


async def test_one_turn_s_frames_leave_together(node: Node) -> None:
    """What is sent to several waits for nobody, and leaves at once when that is asked for."""
    phones = [await node.phone() for _ in range(3)]
    for recorder in node.recorders():
        recorder.client.send(b"early")
    node.virtual_node.flush()
    for phone in phones:
        assert await phone.read_once() == b"early"
    for recorder in node.recorders():
        recorder.client.send(b"one")
        recorder.client.send(b"two")
    for phone in phones:
        assert await phone.read_once() == b"onetwo"
    node.virtual_node.flush()
    for recorder in node.recorders():
        recorder.client.send(b"last")
    for phone in phones:
        assert await phone.read_once() == b"last"


async def test_closing_all(node: Node) -> None:
    """Clients are sent away, and may come back at once."""
    phones = [await node.phone() for _ in range(3)]
    for client in node.virtual_node.clients.values():
        client.send(b"goodbye")
    node.virtual_node.close_clients("the radio is another one")
    for phone in phones:
        assert await phone.read_to_end() == b"goodbye"
    await until(lambda: not node.virtual_node.clients)
    await node.phone()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_accepted_while_it_ends(make_node: MakeNode) -> None:
    """A connection that was taken in at the last moment is not left behind."""
    # A connection that asyncio accepts in the very turn in which its server is closed is left to
    # the garbage collector, and the debug log would keep it from that.
    asyncio.get_running_loop().set_debug(False)
    before = open_files()
    for turns in range(8):
        node = make_node()
        await node.virtual_node.start()
        sock = socket.create_connection(("127.0.0.1", node.port))
        sock.setblocking(False)
        phone = Phone(sock)
        for _ in range(turns):
            await asyncio.sleep(0)
        await node.virtual_node.stop()
        for _ in range(3):
            await asyncio.sleep(0)
        gc.collect()
        assert await phone.read_to_end() == b""
        assert node.virtual_node.clients == {}
        sock.close()
        await until(lambda: open_files() == before)


async def test_fault_in_a_handler_s_making(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    """The connection ends, and the next one is served."""
    node.factory_error = ValueError("a fault in the making")
    async with await Phone.connect(node.port) as phone:
        assert await phone.read_to_end() == b""
    assert "a fault in the making" in caplog.text
    assert node.virtual_node.clients == {}
    node.factory_error = None
    await node.phone()


async def test_ticks(make_node: MakeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """Idle clients go; a fault at one client's tick keeps no other from its own."""
    monkeypatch.setattr(virtual_node_module, "TICK", 0.01)
    node = make_node(idle_limit=0.3)
    await node.virtual_node.start()
    poisoned, busy, idle = [await node.phone() for _ in range(3)]
    first, second, third = node.recorders()
    first.fails_in = "tick"
    while third.client.is_open:
        await busy.send(b"!")
        await asyncio.sleep(0.02)
    assert await idle.read_to_end() == b""
    assert await poisoned.read_to_end() == b""
    assert (first.ends, second.ends, third.ends) == (1, 0, 1)
    assert second.ticks > 3
    await node.apply(enabled=False)
    ticks = second.ticks
    await asyncio.sleep(0.05)
    assert second.ticks == ticks
    await node.apply(enabled=True)
    await node.phone()
    (again,) = node.recorders()
    await until(lambda: again.ticks >= 2)
