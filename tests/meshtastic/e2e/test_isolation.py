"""Whatever one client does, the others are served as if it were not there."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
import logging
import math
import socket
import time

from meshtastic.protobuf import mesh_pb2
import pytest

from custom_components.meshmonitor.mesh import admission, client as mesh_client
from custom_components.meshmonitor.meshtastic import virtual_node as meshtastic_virtual_node
from tests.clients.meshtastic_phone import MeshtasticPhone, frame
from tests.meshtastic.e2e.conftest import OpenStage
from tests.meshtastic.e2e.stage import Stage

BAD = "127.0.0.66"
HEARTBEAT = frame(mesh_pb2.ToRadio(heartbeat=mesh_pb2.Heartbeat()).SerializeToString())
WANT_CONFIG = frame(mesh_pb2.ToRadio(want_config_id=1).SerializeToString())


class Raw:
    """A socket that does what a test tells it."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.sock = socket.socket()
        self.sock.setblocking(False)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.sock.bind((BAD, 0))

    async def connect(self) -> None:
        """Connect."""
        await asyncio.get_running_loop().sock_connect(self.sock, ("127.0.0.1", self.stage.port))

    async def send(self, data: bytes) -> None:
        """Send all of it, as far as it is taken."""
        await asyncio.get_running_loop().sock_sendall(self.sock, data)

    async def read(self, size: int = 65536) -> bytes:
        """Read something; nothing at the end."""
        return await asyncio.get_running_loop().sock_recv(self.sock, size)

    async def read_to_end(self) -> bytes:
        """Read until the connection is over, however it ends."""
        data = b""
        try:
            async with asyncio.timeout(10):
                while piece := await self.read():
                    data += piece
        except ConnectionError:
            pass
        return data


@pytest.fixture
async def raw(stage: Stage) -> AsyncIterator[Raw]:
    """Return a client that is connected, and will misbehave."""
    client = Raw(stage)
    await client.connect()
    yield client
    client.sock.close()


async def _serves(stage: Stage, good: MeshtasticPhone) -> None:
    """See that a client that was there, and one that comes now, are served."""
    mark = f"mark {len(good.payloads)}"
    await stage.node.say(stage.node.peer(0).num, mark)
    await good.wait_for(lambda: good.texts()[-1:] == [mark])
    packet_id = good.send_text("still here")
    assert await good.outcome(packet_id) == [0]
    new = await stage.phone()
    await new.barrier()
    await new.close()
    stage.live.remove(new)


async def _stops_reading(raw: Raw) -> None:
    await raw.send(WANT_CONFIG * 30)


async def _reads_byte_by_byte(raw: Raw) -> None:
    await raw.send(WANT_CONFIG * 3)
    for _ in range(50):
        assert len(await raw.read(1)) == 1


async def _half_a_frame(raw: Raw) -> None:
    await raw.send(HEARTBEAT[:-1])


async def _half_a_header(raw: Raw) -> None:
    await raw.send(WANT_CONFIG + b"\x94")


async def _two_at_once(raw: Raw) -> None:
    second = Raw(raw.stage)
    await second.connect()
    await raw.send(WANT_CONFIG)
    await second.send(WANT_CONFIG)
    assert await raw.read()
    assert await second.read()
    second.sock.close()


async def _half_closes(raw: Raw) -> None:
    await raw.send(WANT_CONFIG)
    raw.sock.shutdown(socket.SHUT_WR)
    assert (await raw.read_to_end()).endswith(frame(b"\x38\x01"))


@pytest.mark.parametrize(
    "behave",
    [
        _stops_reading,
        _reads_byte_by_byte,
        _half_a_frame,
        _half_a_header,
        _two_at_once,
        _half_closes,
    ],
)
async def test_a_client_that_behaves_oddly_harms_nobody(
    stage: Stage, raw: Raw, behave: Callable[[Raw], Awaitable[None]]
) -> None:
    """A client that behaves oddly harms nobody."""
    good = await stage.phone()
    await behave(raw)
    await _serves(stage, good)


async def test_a_frame_whose_rest_does_not_come_is_given_up(
    stage: Stage, raw: Raw, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A frame whose rest does not come is given up, and what follows is understood."""
    monkeypatch.setattr(meshtastic_virtual_node, "PARTIAL_FRAME_TIMEOUT", 0.0)
    await raw.send(b"\x94\xc3\x01\x00")
    await stage.until(lambda: any(c.bytes_in for c in stage.source.virtual_node.clients.values()))
    (client,) = stage.source.virtual_node.clients.values()
    client.tick(1e12, None)
    await raw.send(HEARTBEAT)
    assert (await raw.read()).startswith(b"\x94\xc3")


async def test_a_flood_is_slowed_down_and_costs_the_others_nothing(
    stage: Stage, raw: Raw, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flood is taken in at a limited rate: the rest waits at its sender."""
    good = await stage.phone()
    worked: list[float] = []
    take = mesh_client.Client.spend

    def spend(self: mesh_client.Client, amount: float) -> None:
        if str(self.address) == BAD:
            worked.append(amount)
        take(self, amount)

    monkeypatch.setattr(mesh_client.Client, "spend", spend)
    started = time.monotonic()
    flood = asyncio.create_task(raw.send(HEARTBEAT * 500_000))
    drain = asyncio.create_task(raw.read_to_end())
    try:
        await stage.until(lambda: sum(worked) > mesh_client.WORK_LIMIT)
        await _serves(stage, good)
    finally:
        for task in (flood, drain):
            task.cancel()
        await asyncio.gather(flood, drain, return_exceptions=True)
    (client,) = [c for c in stage.source.virtual_node.clients.values() if str(c.address) == BAD]
    allowed = mesh_client.WORK_LIMIT + mesh_client.WORK_RATE * (time.monotonic() - started)
    piece = 1 + mesh_client.READ_AT_ONCE / len(HEARTBEAT)
    assert sum(worked) <= allowed + piece
    # Nothing is read ahead but what one read of the system brings.
    assert client.bytes_in <= len(HEARTBEAT) * sum(worked) + 2 * 256 * 1024


async def test_what_was_slowed_down_is_done_in_the_end(
    stage: Stage, raw: Raw, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was slowed down is done in the end, in order, also when its sender has closed."""
    monkeypatch.setattr(mesh_client, "WORK_LIMIT", 20.0)
    monkeypatch.setattr(mesh_client, "WORK_RATE", 2000.0)
    slow = Raw(stage)
    await slow.connect()
    await slow.send(HEARTBEAT * 400 + WANT_CONFIG)
    slow.sock.shutdown(socket.SHUT_WR)
    answers = await slow.read_to_end()
    slow.sock.close()
    assert answers.endswith(frame(b"\x38\x01"))
    assert answers.count(frame(b"\x5a\x04\x10\x10\x18\x10")) == 400


async def test_a_reconnect_storm_is_weathered(stage: Stage) -> None:
    """A storm of reconnects is weathered: nobody else notices, and nothing is left of it."""
    good = await stage.phone()
    storm = []
    began = time.monotonic()
    for _ in range(200):
        raw = Raw(stage)
        await raw.connect()
        with suppress(ConnectionError):
            await raw.send(WANT_CONFIG)
        storm.append(raw)
    await _serves(stage, good)
    rejected = stage.source.virtual_node.status.rejected
    assert rejected["too_many_clients"] + rejected["too_many_attempts"] >= 200 - 32
    forgiven = math.ceil(admission.ATTEMPT_RATE * (time.monotonic() - began))
    allowed = 32 * admission.ATTEMPTS_PER_CLIENT + forgiven
    assert rejected["too_many_attempts"] >= 200 - allowed
    assert len([c for c in stage.source.virtual_node.clients.values() if c.is_open]) <= 32
    for raw in storm:
        raw.sock.close()
    await stage.until(lambda: stage.client_count == 1)


@pytest.mark.parametrize(
    "garbage",
    [b"GET / HTTP/1.1\r\n\r\n" * 600, b"\x94\xc3\xff\xff" * 3000, frame(b"\xff" * 100) * 200],
    ids=["text", "headers", "damaged messages"],
)
async def test_garbage_shuts_its_sender_out(
    stage: Stage, raw: Raw, garbage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Garbage shuts its sender out for a while, which is told once; others stay."""
    caplog.set_level(logging.WARNING)
    good = await stage.phone()
    with suppress(ConnectionError):
        await raw.send(garbage)
    await raw.read_to_end()
    for _ in range(3):
        again = Raw(stage)
        await again.connect()
        assert await again.read_to_end() == b""
        again.sock.close()
    assert stage.source.virtual_node.status.rejected["garbage"] == 4
    turned_away = [r.getMessage() for r in caplog.records if "turned away" in r.getMessage()]
    assert turned_away == [f"Virtual node: client {BAD} turned away: garbage (test)"]
    await _serves(stage, good)


async def test_wake_up_bytes_do_no_harm(stage: Stage, raw: Raw) -> None:
    """The bytes with which apps wake a radio do no harm before each of many frames."""
    drain = asyncio.create_task(raw.read_to_end())
    await raw.send(b"\xc3" * 32 + (b"\x94" * 4 + HEARTBEAT) * 300)
    (client,) = stage.source.virtual_node.clients.values()
    await stage.until(lambda: client.bytes_out == 300 * 10)
    assert client.is_open
    drain.cancel()


async def test_options_apply_to_those_that_are_there(open_stage: OpenStage) -> None:
    """A change of who may connect applies at once to those that are there."""
    stage = await open_stage()
    near, far = await stage.phone(local_host="127.0.0.31"), await stage.phone(local_host=BAD)
    await stage.source.apply_virtual_node(stage.options(allowed_networks=["127.0.0.31"]))
    await far.wait_closed()
    await near.barrier()
    second = await stage.phone(local_host="127.0.0.31")
    await stage.source.apply_virtual_node(stage.options(max_clients=1))
    await second.wait_closed()
    await near.barrier()
    assert stage.source.virtual_node.status.rejected == {}
