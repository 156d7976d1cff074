"""Opening byte streams, over TCP and serial ports."""

import asyncio
from pathlib import Path
import socket
from typing import override

import pytest

from custom_components.meshmonitor.mesh import link as link_module
from custom_components.meshmonitor.mesh.link import Link
from custom_components.meshmonitor.mesh.model import LinkState
from custom_components.meshmonitor.mesh.transport import (
    Endpoint,
    SerialEndpoint,
    TcpEndpoint,
    TransportError,
    open_transport,
    unacknowledged,
)
from tests.mesh.peers import FAREWELL, READY, BlackHole, Listener, Plug, Talk, open_files, until
from tests.ports import free_port


class Ear(asyncio.Protocol):
    """Keeps what is heard."""

    def __init__(self) -> None:
        self.heard = b""
        self.closed = asyncio.Event()
        self.error: Exception | None = None

    @override
    def data_received(self, data: bytes) -> None:
        self.heard += data

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.error = exc
        self.closed.set()


@pytest.fixture
def plug(tmp_path: Path) -> Plug:
    """Return a serial port that is not put in."""
    return Plug(tmp_path / "ttyACM0")


def test_what_a_log_line_shows() -> None:
    """The query of a URL may hold an access key."""
    assert str(TcpEndpoint("radio.local", 4403)) == "radio.local:4403"
    assert str(SerialEndpoint("/dev/ttyACM0")) == "/dev/ttyACM0"
    secret = SerialEndpoint("esphome-hass://esphome/1234?port_name=uart&key=a-secret")
    assert str(secret) == "esphome-hass://esphome/1234"


@pytest.mark.parametrize(
    ("endpoint", "reason"),
    [
        (TcpEndpoint("127.0.0.1", 0), None),
        (TcpEndpoint("127.0.0.1", 70000), None),
        (TcpEndpoint("two..dots", 4403), None),
        (SerialEndpoint("/dev/there-is-no-such-port"), "No such file or directory"),
        (SerialEndpoint("/dev"), "Is a directory"),
        (SerialEndpoint("/dev/null"), None),
        (SerialEndpoint("nonsense://somewhere"), None),
        (SerialEndpoint("socket://no-port"), None),
        (SerialEndpoint("socket://127.0.0.1:1"), "Connection refused"),
    ],
    ids=str,
)
async def test_what_cannot_be_opened(endpoint: Endpoint, reason: str | None, names: None) -> None:
    """Each is the same error, with the system's words where it has some, and leaves nothing."""
    before = open_files()
    with pytest.raises(TransportError) as caught:
        await open_transport(endpoint, Ear, timeout=5.0)
    text = str(caught.value)
    assert text
    assert "127.0.0.1" not in text
    if reason is not None:
        assert text == reason
    assert open_files() == before


async def test_several_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host of which no address answers, each for its own reason."""
    loop = asyncio.get_running_loop()
    port = free_port()
    addresses = [
        address
        for host in ("127.0.0.1", "127.0.0.2")
        for address in await loop.getaddrinfo(host, port, type=1)
    ]

    async def two_addresses(*args: object, **kwargs: object) -> object:
        return addresses

    monkeypatch.setattr(loop, "getaddrinfo", two_addresses)
    with pytest.raises(TransportError, match="none of the host's addresses answers"):
        await open_transport(TcpEndpoint("radio", port), Ear, timeout=5.0)


async def test_time_limit() -> None:
    """An attempt that nobody answers takes no longer than it may."""
    with BlackHole() as hole:
        before = open_files()
        with pytest.raises(TransportError, match=r"^no connection within 0\.05 s$"):
            await open_transport(TcpEndpoint("127.0.0.1", hole.port), Ear, timeout=0.05)
        assert open_files() == before


async def test_serial_port(plug: Plug) -> None:
    """Bytes go both ways, unchanged: the line discipline does not meddle."""
    plug.put_in()
    before = open_files()
    endpoint = SerialEndpoint(str(plug.path))
    transport, ear = await open_transport(endpoint, Ear, timeout=5.0)
    everything = bytes(range(256)) * 3
    transport.write(everything)
    await until(lambda: plug.received == everything)
    plug.write(everything)
    await until(lambda: ear.heard == everything)
    # The port is ours alone while it is open.
    with pytest.raises(TransportError):
        await open_transport(endpoint, Ear, timeout=5.0)
    transport.close()
    await ear.closed.wait()
    assert open_files() == before
    transport, ear = await open_transport(endpoint, Ear, timeout=5.0)
    transport.abort()
    await ear.closed.wait()
    plug.pull()


async def test_serial_port_that_is_pulled(plug: Plug) -> None:
    """The end is noticed at once, without anything being written."""
    plug.put_in()
    _, ear = await open_transport(SerialEndpoint(str(plug.path)), Ear, timeout=5.0)
    plug.pull()
    await ear.closed.wait()
    assert isinstance(ear.error, OSError)


@pytest.mark.parametrize("patience", [0.0, 0.0003, 0.001, 0.003, 0.01, 0.03])
async def test_cancelled_while_opening(plug: Plug, patience: float) -> None:
    """At whatever moment an attempt is given up, the port is free afterwards."""
    plug.put_in()
    before = open_files()
    endpoint = SerialEndpoint(str(plug.path))
    attempt = asyncio.create_task(open_transport(endpoint, Ear, timeout=5.0))
    await asyncio.sleep(patience)
    if attempt.cancel():
        with pytest.raises(asyncio.CancelledError):
            await attempt
    else:
        transport, ear = attempt.result()
        transport.abort()
        await ear.closed.wait()
    await until(lambda: open_files() == before)
    transport, ear = await open_transport(endpoint, Ear, timeout=5.0)
    transport.abort()
    await ear.closed.wait()
    plug.pull()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a link wait hardly at all."""
    monkeypatch.setattr(link_module, "BACKOFF_FIRST", 0.01)
    monkeypatch.setattr(link_module, "BACKOFF_LAST", 0.01)


async def link_to(endpoint: Endpoint) -> Talk:
    """Return a link that is started."""
    talk = Talk()
    talk.link = Link(endpoint, talk, name="test", on_status=talk.on_status)
    talk.link.start()
    return talk


async def test_unplug_and_replug(plug: Plug, quick: None, caplog: pytest.LogCaptureFixture) -> None:
    """A port that comes back under its name is taken up again, as often as that happens."""
    talk = await link_to(SerialEndpoint(str(plug.path)))
    await until(lambda: talk.states.count(LinkState.WAITING) >= 2)
    assert talk.link.status.last_error == "No such file or directory"
    for turn in range(4):
        plug.put_in()
        await until(lambda: plug.received == b"hello")
        plug.write(READY)
        await talk.reach(LinkState.READY)
        assert talk.link.status.sessions == turn + 1
        plug.pull()
        await until(lambda: talk.link.status.last_error == "No such file or directory")
        assert not talk.link.write(b"nobody is there")
    assert not talk.link.status.is_contended, "a loose cable is no other program"
    await talk.link.stop()
    warnings = [record for record in caplog.records if record.name == link_module.__name__]
    assert len([record for record in warnings if record.levelname == "WARNING"]) == 5


async def test_farewell_over_serial(plug: Plug, quick: None) -> None:
    """The radio is told, and the port is free again when the link is stopped."""
    plug.put_in()
    before = open_files()
    talk = await link_to(SerialEndpoint(str(plug.path)))
    await talk.reach(LinkState.HANDSHAKE)
    await talk.link.stop()
    await until(lambda: plug.received == b"hello" + FAREWELL)
    assert open_files() == before
    plug.pull()


@pytest.mark.parametrize("patience", [0.0, 0.001, 0.003, 0.01, 0.03])
async def test_stop_while_opening_serial(plug: Plug, quick: None, patience: float) -> None:
    """A link that is stopped amid opening a port leaves it free."""
    plug.put_in()
    before = open_files()
    talk = await link_to(SerialEndpoint(str(plug.path)))
    await asyncio.sleep(patience)
    await talk.link.stop()
    assert talk.link.status.state is LinkState.STOPPED
    assert talk.events.count("opened") == talk.events.count("closed")
    await until(lambda: open_files() == before)
    plug.pull()


async def test_serial_over_the_network(quick: None) -> None:
    """A port that a server shares is opened like one that is here."""
    async with Listener() as server:
        talk = await link_to(SerialEndpoint(f"socket://127.0.0.1:{server.port}"))
        for _ in range(2):
            visit = await server.visit()
            await until(lambda v=visit: v.received == b"hello")  # type: ignore[misc]
            visit.transport.write(READY)
            await talk.reach(LinkState.READY)
            visit.reset()
            await until(lambda: not talk.link.status.is_ready)
        await talk.link.stop()
        assert server.most_open == 1


def test_nothing_is_unacknowledged_on_a_socket_that_is_closed(socket_enabled: None) -> None:
    """A connection may end at any moment; who asks then gets an answer all the same."""
    sock = socket.socket()
    assert unacknowledged(sock) == 0
    sock.close()
    assert unacknowledged(sock) == 0
