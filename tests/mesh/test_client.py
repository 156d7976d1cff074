"""One client's connection: its queue, its limits, its end, over real sockets."""

import asyncio
from collections.abc import AsyncIterator
from ipaddress import ip_address
import socket
import time

import pytest

from custom_components.meshmonitor.mesh import client as client_module
from custom_components.meshmonitor.mesh.client import CLOSE_TIMEOUT, STALL_TIMEOUT, Client
from custom_components.meshmonitor.mesh.handler import Worth
from custom_components.meshmonitor.mesh.outflow import Outflow
from tests.mesh.peers import until
from tests.mesh.phones import SMALL, Phone, Recorder


class Host:
    """Takes clients in, and notes how they end."""

    def __init__(self) -> None:
        self.clients: list[Client] = []
        self.ends: list[str] = []
        self.admits = True
        self.port = 0
        self.garbage = 0
        self._outflow = Outflow()

    def make(self) -> Client:
        """Return a client for a new connection."""
        return Client(
            f"c{len(self.clients) + 1}",
            self._outflow,
            self._connected,
            self._disconnected,
            self._garbage,
        )

    def _connected(self, client: Client) -> bool:
        if self.admits:
            client.handler = Recorder(client)
            self.clients.append(client)
        return self.admits

    def _disconnected(self, client: Client, reason: str) -> None:
        self.ends.append(reason)

    def _garbage(self, client: Client, amount: int) -> None:
        self.garbage += amount

    async def take(self, *, is_small: bool = False, source: str | None = None) -> Seat:
        """Let a phone connect, on request with small buffers on both sides."""
        count = len(self.clients)
        phone = await Phone.connect(self.port, is_small=is_small, source=source)
        await until(lambda: len(self.clients) > count)
        client = self.clients[-1]
        if is_small:
            sock = transport_of(client).get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL)
        return Seat(phone, client)


class Seat:
    """Both ends of a connection."""

    def __init__(self, phone: Phone, client: Client) -> None:
        self.phone = phone
        self.client = client
        assert isinstance(client.handler, Recorder)
        self.handler = client.handler

    async def stuff(self) -> int:
        """Send until nothing more can leave, and return how many bytes are on their way."""
        sent = 0
        while not self.client._paused:
            self.client.send(bytes(8192))
            sent += 8192
            await asyncio.sleep(0)
        return sent

    async def clog(self) -> int:
        """Send until some of it stays behind, yet too little to count as slow; return how much."""
        sent = 0
        # Some more trickles into a full socket for a while.
        while transport_of(self.client).get_write_buffer_size() < 32_768:
            self.client.send(bytes(8192))
            sent += 8192
            await asyncio.sleep(0)
        assert not self.client._paused
        return sent


def transport_of(client: Client) -> asyncio.Transport:
    """Return the transport under a client."""
    assert client._transport is not None
    return client._transport


@pytest.fixture
async def host() -> AsyncIterator[Host]:
    """Return who takes clients in; all have to be gone in the end."""
    made = Host()
    server = await asyncio.get_running_loop().create_server(made.make, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    yield made
    server.close()
    for client in made.clients:
        client.abort("the test is over")
        await client.closed
    assert len(made.ends) == len(made.clients)
    assert all(client.handler is None for client in made.clients)


@pytest.fixture
def sends(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return what notes the size of each write to the system."""
    noted: list[int] = []
    original = socket.socket.send

    def send(sock: socket.socket, data: bytes, flags: int = 0) -> int:
        noted.append(len(data))
        return original(sock, data, flags)

    monkeypatch.setattr(socket.socket, "send", send)
    return noted


async def test_one_write_a_turn(host: Host, sends: list[int]) -> None:
    """Everything that is sent in one turn of the loop leaves at once, in order."""
    seat = await host.take()
    sends.clear()
    for number in range(50):
        seat.client.send(b"%02d" % number, Worth(number % 3))
    assert sends == []
    expected = b"".join(b"%02d" % number for number in range(50))
    assert await seat.phone.read_once() == expected
    assert sends == [100]
    seat.client.send(b"next")
    await asyncio.sleep(0)
    seat.client.send(b"turn")
    assert await seat.phone.read(8) == b"nextturn"
    assert sends == [100, 4, 4]
    assert seat.client.status.bytes_out == 108


async def test_bytes_come_in(host: Host) -> None:
    """They reach the handler, are counted, and are a sign of life."""
    seat = await host.take()
    before = seat.client.last_received, seat.client.last_activity
    await seat.phone.send(b"hello")
    await until(lambda: seat.handler.received == b"hello")
    status = seat.client.status
    assert (status.client_id, status.ip, status.bytes_in) == ("c1", "127.0.0.1", 5)
    assert seat.client.last_received > before[0]
    assert status.last_activity >= before[1]


@pytest.mark.parametrize(
    ("more", "lost"), [(0, set()), (1, {Worth.ROUTINE}), (6, {Worth.ROUTINE, Worth.NEWS})]
)
async def test_slow_reader_loses_what_is_worth_least(
    host: Host, monkeypatch: pytest.MonkeyPatch, more: int, lost: set[Worth]
) -> None:
    """Routine goes first, then news; what is vital arrives whole, in order."""
    monkeypatch.setattr(client_module, "MAX_QUEUED", 10_000)
    seat = await host.take(is_small=True)
    stuffed = await seat.stuff()
    worths = [Worth.VITAL, Worth.NEWS, Worth.ROUTINE, Worth.VITAL] * 5 + [Worth.VITAL] * more
    frames = [(b"%04d" % number * 125, worth) for number, worth in enumerate(worths)]
    for frame, worth in frames:
        seat.client.send(frame, worth)
    assert seat.client.is_open
    assert seat.client.status.dropped == 5 * len(lost)
    await seat.phone.read(stuffed)
    kept = b"".join(frame for frame, worth in frames if worth not in lost)
    assert await seat.phone.read(len(kept)) == kept


async def test_the_newest_routine_is_kept(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is replaced by the next of its kind goes first, and makes room for a while."""
    monkeypatch.setattr(client_module, "MAX_QUEUED", 10_000)
    seat = await host.take(is_small=True)
    stuffed = await seat.stuff()
    frames = [b"%04d" % number * 125 for number in range(21)]
    for frame in frames:
        seat.client.send(frame, Worth.ROUTINE)
    assert seat.client.dropped == 11
    await seat.phone.read(stuffed)
    assert await seat.phone.read(10 * 500) == b"".join(frames[11:])


async def test_client_goes_when_the_vital_would_be_lost(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rather than miss a text without knowing, it comes back and reads anew."""
    monkeypatch.setattr(client_module, "MAX_QUEUED", 10_000)
    seat = await host.take(is_small=True)
    await seat.stuff()
    for _ in range(20):
        assert seat.client.is_open
        seat.client.send(bytes(500), Worth.VITAL)
    seat.client.send(b"one too many", Worth.VITAL)
    assert not seat.client.is_open
    await seat.client.closed
    assert host.ends == ["reads too slowly"]


async def test_much_in_one_turn_is_no_slowness(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that had no chance to read yet is not closed for it, and loses nothing."""
    monkeypatch.setattr(client_module, "MAX_QUEUED", 10_000)
    seat = await host.take()
    for number in range(40):
        seat.client.send(b"%04d" % number * 256, Worth(number % 3))
    assert await seat.phone.read(40_960) == b"".join(b"%04d" % n * 256 for n in range(40))
    assert seat.client.dropped == 0


async def test_nobody_else_waits(host: Host) -> None:
    """While one does not read at all, another gets each frame before the next is sent."""
    slow, quick = await host.take(is_small=True), await host.take()
    await slow.stuff()
    for number in range(100):
        for seat in (slow, quick):
            seat.client.send(b"%04d" % number * 100, Worth.ROUTINE)
        assert await quick.phone.read(400) == b"%04d" % number * 100
        await quick.phone.send(b"?")
        await until(lambda n=number: len(quick.handler.received) == n + 1)  # type: ignore[misc]
    assert slow.client.is_open
    assert quick.client.dropped == 0


async def test_client_that_stopped_reading(host: Host) -> None:
    """It is given up when it took no byte for so long, but not while it takes some."""
    seat = await host.take(is_small=True)
    now = time.monotonic()
    seat.client.tick(now + 10 * STALL_TIMEOUT, None)
    assert seat.client.is_open, "nothing waits for it"
    await seat.stuff()
    now = time.monotonic()
    for step in range(1, 6):
        before = transport_of(seat.client).get_write_buffer_size()
        seat.client.tick(now + step * (STALL_TIMEOUT - 1), None)
        assert seat.client.is_open
        while transport_of(seat.client).get_write_buffer_size() == before:
            await seat.phone.read(100)
            await asyncio.sleep(0)
    seat.client.tick(now + 5 * STALL_TIMEOUT, None)
    seat.client.tick(now + 6 * STALL_TIMEOUT + 0.1, None)
    await seat.client.closed
    assert host.ends == ["stopped reading"]
    assert seat.handler.ticks >= 7


async def test_idle_client(host: Host) -> None:
    """It is closed after the limit, where there is one, and has what was sent before."""
    seat = await host.take()
    seat.client.tick(seat.client.last_received + 10_000, None)
    seat.client.tick(seat.client.last_received + 1199.9, 1200.0)
    assert seat.client.is_open
    seat.client.send(b"last")
    seat.client.tick(seat.client.last_received + 1200.1, 1200.0)
    assert await seat.phone.read_to_end() == b"last"
    assert host.ends == ["idle"]


async def test_client_that_floods_and_goes(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that is held back without a pause is ended: that it has gone would not be seen."""
    monkeypatch.setattr(client_module, "WORK_LIMIT", 1.0)
    monkeypatch.setattr(client_module, "WORK_RATE", 0.001)
    seat = await host.take()
    await seat.phone.send(bytes(100_000))
    await until(lambda: seat.client._held_since is not None)
    seat.phone.sock.close()
    held_since = seat.client._held_since
    assert held_since is not None
    seat.client.tick(held_since + client_module.FLOOD_TIMEOUT, None)
    assert seat.client.is_open
    seat.client.tick(held_since + client_module.FLOOD_TIMEOUT + 0.1, None)
    await seat.client.closed
    assert host.ends == ["sends too much"]


async def test_flood_in_pieces(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """That all is read of what had arrived is no pause while more comes at once."""
    monkeypatch.setattr(client_module, "WORK_LIMIT", 1.0)
    monkeypatch.setattr(client_module, "WORK_RATE", 100.0)
    seat = await host.take()
    await seat.phone.send(bytes(5_000))
    await until(lambda: len(seat.handler.received) == 5_000)
    held_since = seat.client._held_since
    assert held_since is not None
    await seat.phone.send(bytes(50_000))
    await until(lambda: len(seat.handler.received) > 5_000)
    seat.client.tick(held_since + client_module.FLOOD_TIMEOUT + 0.1, None)
    await seat.client.closed
    assert host.ends == ["sends too much"]


async def test_pause_after_a_flood(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that catches up stays; once it has asked for nothing for a second, all is well."""
    monkeypatch.setattr(client_module, "WORK_LIMIT", 4.0)
    monkeypatch.setattr(client_module, "WORK_RATE", 4.0)
    seat = await host.take()
    await seat.phone.send(bytes(3_000))
    await until(lambda: len(seat.handler.received) == 3_000)
    assert seat.client._held_since is not None
    seat.client.tick(time.monotonic() + 10 * client_module.FLOOD_TIMEOUT, None)
    assert seat.client.is_open
    await until(lambda: seat.client._work.level(time.monotonic()) >= 4.0)
    await seat.phone.send(b"again")
    await until(lambda: len(seat.handler.received) == 3_005)
    assert seat.client._held_since is None


async def test_half_closed(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    """A client that says no more gets what it was to get; what comes later is not for it."""
    seat = await host.take(is_small=True)
    await seat.phone.send(b"question")
    await until(lambda: seat.handler.received == b"question")
    sent = await seat.clog()
    seat.phone.say_no_more()
    await until(lambda: not seat.client.is_open)
    for _ in range(20):
        seat.client.send(b"too late")
        await asyncio.sleep(0)
    assert await seat.phone.read_to_end() == bytes(sent)
    await seat.client.closed
    assert host.ends == ["closed by the client"]
    assert "socket.send() raised exception" not in caplog.text


@pytest.mark.parametrize("says_no_more", [True, False])
async def test_closing_takes_no_longer_than_it_may(
    host: Host, monkeypatch: pytest.MonkeyPatch, says_no_more: bool
) -> None:
    """One that we close, or that half-closes, and does not read the rest is not waited for."""
    monkeypatch.setattr(client_module, "CLOSE_TIMEOUT", 0.05)
    seat = await host.take(is_small=True)
    await seat.clog()
    if says_no_more:
        seat.phone.say_no_more()
    else:
        seat.client.close("disconnected by the app")
    async with asyncio.timeout(5):
        await seat.client.closed
    assert host.ends == ["closed by the client" if says_no_more else "disconnected by the app"]


async def test_close(host: Host) -> None:
    """It happens behind what was sent; the first reason stays; nothing is sent afterwards."""
    seat = await host.take()
    seat.client.send(b"last words")
    seat.client.close("first")
    seat.client.close("second")
    seat.client.send(b"too late")
    await seat.phone.send(b"unheard")
    assert await seat.phone.read_to_end() == b"last words"
    await seat.client.wait_closed()
    seat.client.close("third")
    seat.client.abort("fourth")
    assert host.ends == ["first"]
    assert seat.handler.received == b""
    assert seat.handler.ends == 1


async def test_close_while_it_does_not_read(host: Host) -> None:
    """What it would never have read is not waited for."""
    seat = await host.take(is_small=True)
    await seat.stuff()
    seat.client.close("disconnected by the app")
    async with asyncio.timeout(CLOSE_TIMEOUT / 2):
        await seat.client.closed
    assert host.ends == ["disconnected by the app"]


async def test_reset(host: Host) -> None:
    """A client that vanishes is gone at once, with all that waited for it."""
    seat = await host.take(is_small=True)
    await seat.stuff()
    seat.client.send(b"in vain")
    seat.phone.reset()
    await seat.client.closed
    assert host.ends == ["ConnectionResetError"]
    seat.client.send(b"nobody is there")
    assert len(seat.client._queue) == 0


@pytest.mark.parametrize("where", ["data_received", "tick", "rights_changed", "disconnected"])
async def test_fault_in_a_handler(host: Host, where: str, caplog: pytest.LogCaptureFixture) -> None:
    """It closes that client alone, which will come back, and is logged."""
    seat, other = await host.take(), await host.take()
    seat.handler.fails_in = where
    await seat.phone.send(b"poison")
    await until(lambda: seat.client.bytes_in == 6)
    for client in host.clients:
        client.tick(time.monotonic(), None)
        client.rights_changed(is_admin=True)
    if where == "disconnected":
        assert seat.client.is_open
        seat.phone.sock.close()
    else:
        assert await seat.phone.read_to_end() == b""
    await seat.client.closed
    assert host.ends == ["closed by the client" if where == "disconnected" else "internal error"]
    assert f"a fault in {where}" in caplog.text
    assert seat.handler.ends == 1
    other.client.send(b"still here")
    assert await other.phone.read(10) == b"still here"
    assert other.handler.ticks == 1


async def test_turned_away(host: Host) -> None:
    """Who is not admitted hears nothing, and nobody hears of its end."""
    host.admits = False
    async with await Phone.connect(host.port) as phone:
        await phone.send(b"let me in")
        assert await phone.read_to_end() == b""
    assert host.ends == []


async def test_fault_in_admission(
    host: Host, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A connection that nobody serves is not kept."""

    def fail(client: Client) -> bool:
        raise ValueError("a fault in admission")

    monkeypatch.setattr(host, "_connected", fail)
    async with await Phone.connect(host.port) as phone:
        assert await phone.read_to_end() == b""
    assert "a fault in admission" in caplog.text


async def test_mapped_address() -> None:
    """A client that comes by IPv4 to a listener of both families has its IPv4 address."""
    host = Host()
    sock = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    host.port = sock.getsockname()[1]
    server = await asyncio.get_running_loop().create_server(host.make, sock=sock)
    seat = await host.take(source="127.0.0.5")
    assert seat.client.address == ip_address("127.0.0.5")
    assert seat.client.status.ip == "127.0.0.5"
    seat.phone.sock.close()
    await seat.client.closed
    server.close()
