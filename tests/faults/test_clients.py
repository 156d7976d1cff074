"""Whatever a client does, the others are served as ever: one table, tried on both protocols."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
import random
import socket
from typing import Any, Final

import pytest

from custom_components.meshmonitor.mesh import client as mesh_client
from tests.mesh.peers import open_files

from .network import reset_transport
from .rigs import Rig, open_rig
from .test_upstream import PROTOCOLS, leaves_nothing

ODD_ADDRESS: Final = "127.0.0.66"
"""Odd clients are elsewhere: what they do may turn their address away for a while."""

type Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def visit(rig: Rig) -> Streams:
    """Connect."""
    return await asyncio.open_connection("127.0.0.1", rig.port, local_addr=(ODD_ADDRESS, 0))


async def _stops_reading(rig: Rig) -> None:
    reader, writer = await visit(rig)
    sock: socket.socket = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    for _ in range(40):
        writer.write(rig.hello)
        await asyncio.sleep(0)
    await _linger(rig, writer)
    del reader


async def _reads_single_bytes(rig: Rig) -> None:
    reader, writer = await visit(rig)
    writer.write(rig.hello)
    for _ in range(50):
        assert await reader.readexactly(1)
        await asyncio.sleep(0.002)
    await _linger(rig, writer)


async def _writes_single_bytes(rig: Rig) -> None:
    reader, writer = await visit(rig)
    for byte in rig.hello:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.001)
    assert await reader.readexactly(100)
    await _linger(rig, writer)


async def _waits_amid_a_message(rig: Rig) -> None:
    _, writer = await visit(rig)
    writer.write(rig.hello[:-1])
    await _linger(rig, writer)


async def _says_nothing(rig: Rig) -> None:
    _, writer = await visit(rig)
    await _linger(rig, writer)


async def _half_closes(rig: Rig) -> None:
    reader, writer = await visit(rig)
    writer.write(rig.ping)
    writer.write_eof()
    async with asyncio.timeout(15):
        assert await reader.read(), "what it asked for"
    writer.close()


async def _leaves_amid_its_answer(rig: Rig) -> None:
    for _ in range(20):
        _, writer = await visit(rig)
        writer.write(rig.hello * 5)
        await asyncio.sleep(0.002)
        reset_transport(writer)


async def _floods(rig: Rig) -> None:
    _, writer = await visit(rig)
    for _ in range(20):
        writer.write(rig.ping * 500)
        await asyncio.sleep(0)
    await _linger(rig, writer)


async def _talks_garbage(rig: Rig) -> None:
    rng = random.Random(1)
    for _ in range(3):
        with suppress(OSError):
            reader, writer = await visit(rig)
            writer.write(rng.randbytes(64 * 1024))
            async with asyncio.timeout(15):
                while await reader.read(4096):
                    pass
            writer.close()
    rejected = rig.source.virtual_node.status.rejected
    assert rejected.get("garbage"), rejected


async def _announces_too_much(rig: Rig) -> None:
    _, writer = await visit(rig)
    writer.write(rig.hello[: rig.header].replace(rig.hello[2:3], b"\xff") + b"\xff" * 5000)
    await _linger(rig, writer)


async def _comes_in_a_storm(rig: Rig) -> None:
    for _ in range(150):
        with suppress(OSError):
            _, writer = await visit(rig)
            writer.write(rig.hello)
            writer.close()


async def _comes_many_times_at_once(rig: Rig) -> None:
    visits = [await visit(rig) for _ in range(40)]
    for _, writer in visits:
        writer.write(rig.hello)
    assert len(rig.source.virtual_node.clients) <= rig.source.virtual_node.options.max_clients
    for _, writer in visits:
        writer.close()


async def _linger(rig: Rig, writer: asyncio.StreamWriter) -> None:
    """Stay until the others have been served, and leave without a word."""
    rig.odd.append(writer)


ODD: Final[dict[str, Callable[[Rig], Awaitable[None]]]] = {
    "stops reading": _stops_reading,
    "reads single bytes": _reads_single_bytes,
    "writes single bytes": _writes_single_bytes,
    "waits amid a message": _waits_amid_a_message,
    "says nothing": _says_nothing,
    "half-closes": _half_closes,
    "leaves amid its answer": _leaves_amid_its_answer,
    "floods": _floods,
    "talks garbage": _talks_garbage,
    "announces too much": _announces_too_much,
    "comes in a storm": _comes_in_a_storm,
    "comes many times at once": _comes_many_times_at_once,
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_an_odd_client_harms_nobody(
    protocol: str, odd: Callable[[Rig], Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that are there are served meanwhile and afterwards, new ones too; nothing is left."""
    monkeypatch.setattr(mesh_client, "STALL_TIMEOUT", 1.0)
    async with open_rig(protocol) as rig:
        tasks, files = asyncio.all_tasks(), open_files()
        await rig.source.start()
        await rig.until_ready()
        client = await rig.client()
        whole = len(await rig.read_all(client))
        doing: asyncio.Task[Any] = asyncio.ensure_future(odd(rig))
        await rig.is_served(client)
        await doing
        await rig.is_served(client)
        assert len(await rig.read_all(client)) == whole
        await rig.is_served(await rig.client())
        for writer in rig.odd:
            reset_transport(writer)
        await rig.until(lambda: len(rig.source.virtual_node.clients) == 2, "the odd one's end")
        assert not rig.is_closed(client)
        await leaves_nothing(rig, tasks, files)
