"""Proves, before it is added, that a Meshtastic radio answers at an endpoint."""

import asyncio
import random
import time
from typing import Final, override

from ..mesh.probe import Conversation, prove
from ..mesh.source import ProbeResult
from ..mesh.transport import Endpoint, SerialEndpoint
from .decode import Decoder
from .framing import encode
from .mirror import Mirror
from .session import DISCONNECT, EventKind, Session

SILENCE_TIMEOUT: Final = 10.0
"""A radio that has said nothing for so long after the request is none, or is not well."""
DUMP_TIMEOUT: Final = 30.0
_MAX_NONCE: Final = 0xFFFFFFFF


async def probe(endpoint: Endpoint) -> ProbeResult:
    """Do one whole handshake with the radio at an endpoint, and let go of it again.

    Args:
        endpoint: Where the radio is; none whose link is held already.

    Raises:
        ProbeError: There is no Meshtastic radio to be had; the reason says why.
    """
    is_serial = isinstance(endpoint, SerialEndpoint)
    return await prove(endpoint, lambda: _Handshake(is_serial=is_serial))


class _Handshake(Conversation):
    """One connection, up to the end of the radio's configuration."""

    def __init__(self, *, is_serial: bool) -> None:
        super().__init__()
        self._session = Session(lambda: random.randint(2, _MAX_NONCE), is_serial=is_serial)
        self._mirror = Mirror()
        self._is_complete = False

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._mirror.begin_capture()
        self._write(self._session.open(time.monotonic()))

    @override
    def _received(self, data: bytes) -> None:
        step = self._session.receive(data, time.monotonic())
        for event in step.events:
            self._has_frames = True
            if event.kind is EventKind.DUMP_FRAME:
                self._mirror.capture(event.payload)
            elif event.kind is EventKind.DUMP_STARTED:
                self._mirror.begin_capture()
            elif event.kind is EventKind.DUMP_COMPLETE:
                self._is_complete = self._mirror.complete_capture().is_complete
        if step.write and not self._is_complete:
            self._write(step.write)

    @override
    async def result(self) -> ProbeResult | None:
        try:
            async with asyncio.timeout(DUMP_TIMEOUT):
                while not self._is_complete:
                    if self._is_closed:
                        self._taken_away()
                        return None
                    async with asyncio.timeout(SILENCE_TIMEOUT):
                        await self._news()
        except TimeoutError:
            raise self._no_answer() from None
        self._write(encode(DISCONNECT))
        decoder = Decoder(self._mirror)
        identity = decoder.identity()
        if identity is None:
            return None
        nodes = decoder.nodes(time.time()).values()
        favorites = sum(node.is_favorite and not node.is_own for node in nodes)
        return ProbeResult(identity=identity, nodes=len(nodes), favorites=favorites)
