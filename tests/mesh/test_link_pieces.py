"""A radio that says much at once: everybody else has turns in between, and nothing is lost."""

import asyncio
from collections.abc import Callable
from typing import Final, override

import pytest

from custom_components.meshmonitor.mesh.link import READ_AT_ONCE, Link
from custom_components.meshmonitor.mesh.transport import TcpEndpoint
from tests.mesh.peers import Listener, Talk, until

MUCH: Final = bytes(range(256)) * 1024


class Attentive(Talk):
    """Notes the pieces that it is handed, and whether others had a turn since the last one."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[bytes] = []
        self.turns = 0
        self.turns_at: list[int] = []
        self.on_piece: Callable[[], None] = lambda: None

    @override
    def link_data(self, data: bytes, now: float) -> None:
        """Note a piece, and ask for a turn of one's own."""
        self.pieces.append(data)
        self.turns_at.append(self.turns)
        asyncio.get_running_loop().call_soon(self._turn)
        self.on_piece()

    def _turn(self) -> None:
        self.turns += 1


@pytest.mark.parametrize("closes", [False, True], ids=["stays", "closes at once"])
async def test_much_at_once(*, closes: bool) -> None:
    """It comes in pieces, whole and in order, also where the radio closes right behind it."""
    talk = Attentive()
    async with Listener() as radio:
        talk.link = Link(
            TcpEndpoint(radio.host, radio.port), talk, name="test", on_status=talk.on_status
        )
        talk.link.start()
        visit = await radio.visit()
        await until(lambda: visit.received)
        visit.transport.write(MUCH)
        if closes:
            visit.transport.close()
        await until(lambda: sum(map(len, talk.pieces)) >= len(MUCH))
        await talk.link.stop()
    assert b"".join(talk.pieces) == MUCH
    assert len(talk.pieces) >= len(MUCH) // READ_AT_ONCE
    assert max(map(len, talk.pieces)) <= READ_AT_ONCE
    assert len(set(talk.turns_at)) == len(talk.turns_at)


async def test_dropped_amid_much() -> None:
    """What a radio said is not looked at any more once we have ended the connection."""
    talk = Attentive()
    async with Listener() as radio:
        talk.link = Link(
            TcpEndpoint(radio.host, radio.port), talk, name="test", on_status=talk.on_status
        )
        talk.on_piece = lambda: talk.link.drop("enough")
        talk.link.start()
        visit = await radio.visit()
        visit.transport.write(MUCH)
        await visit.closed.wait()
        await until(lambda: "closed" in talk.events)
        assert len(talk.pieces) < len(MUCH) // READ_AT_ONCE
        await talk.link.stop()
