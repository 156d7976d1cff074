"""Proves, before it is added, that a Meshtastic radio answers at an endpoint."""

import asyncio
from contextlib import suppress
import random
import time
from typing import Final, override

from ..mesh.source import ProbeError, ProbeReason, ProbeResult
from ..mesh.transport import Endpoint, SerialEndpoint, TransportError, open_transport
from .decode import Decoder
from .framing import encode
from .mirror import Mirror
from .session import DISCONNECT, EventKind, Session

CONNECT_TIMEOUT: Final = 10.0
SILENCE_TIMEOUT: Final = 10.0
"""A radio that has said nothing for so long after the request is none, or is not well."""
DUMP_TIMEOUT: Final = 30.0
ATTEMPTS: Final = 3
"""A connection may be lost to an app that reconnects once; one that is lost each time is fought
for."""
_RETRY_DELAY: Final = 0.5
_CLOSE_TIMEOUT: Final = 2.0
_MAX_NONCE: Final = 0xFFFFFFFF


async def probe(endpoint: Endpoint) -> ProbeResult:
    """Do one whole handshake with the radio at an endpoint, and let go of it again.

    Args:
        endpoint: Where the radio is. It must not be one whose link is held already: a radio serves
            one connection, and the newest wins.

    Raises:
        ProbeError: There is no Meshtastic radio to be had; the reason says why.
    """
    for attempt in range(ATTEMPTS):
        if attempt:
            await asyncio.sleep(_RETRY_DELAY)
        try:
            transport, conversation = await open_transport(
                endpoint,
                lambda: _Conversation(is_serial=isinstance(endpoint, SerialEndpoint)),
                timeout=CONNECT_TIMEOUT,
            )
        except TransportError as err:
            raise ProbeError(ProbeReason.CANNOT_CONNECT) from err
        try:
            result = await conversation.result()
        finally:
            transport.close()
            await conversation.wait_closed()
        if result is not None:
            return result
    raise ProbeError(ProbeReason.CONTENDED)


class _Conversation(asyncio.Protocol):
    """One connection, up to the end of the radio's configuration."""

    def __init__(self, *, is_serial: bool) -> None:
        self._session = Session(lambda: random.randint(2, _MAX_NONCE), is_serial=is_serial)
        self._mirror = Mirror()
        self._transport: asyncio.Transport | None = None
        self._has_bytes = False
        self._has_frames = False
        self._is_complete = False
        self._progress = asyncio.Event()
        self._is_closed = False

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._mirror.begin_capture()
        transport.write(self._session.open(time.monotonic()))

    @override
    def data_received(self, data: bytes) -> None:
        self._has_bytes = True
        step = self._session.receive(data, time.monotonic())
        for event in step.events:
            self._has_frames = True
            if event.kind is EventKind.DUMP_FRAME:
                self._mirror.capture(event.payload)
            elif event.kind is EventKind.DUMP_STARTED:
                self._mirror.begin_capture()
            elif event.kind is EventKind.DUMP_COMPLETE:
                self._is_complete = self._mirror.complete_capture().is_complete
        if self._transport is not None and step.write and not self._is_complete:
            self._transport.write(step.write)
        self._progress.set()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._is_closed = True
        self._progress.set()

    async def wait_closed(self) -> None:
        """Wait until the connection is gone: a serial port can be opened again only then."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_TIMEOUT):
                while not self._is_closed:
                    self._progress.clear()
                    await self._progress.wait()

    async def result(self) -> ProbeResult | None:
        """Wait for the end of the configuration; None where the connection was taken away.

        Raises:
            ProbeError: Nothing comes, or nothing that this protocol knows.
        """
        try:
            async with asyncio.timeout(DUMP_TIMEOUT):
                while not self._is_complete:
                    self._progress.clear()
                    if self._is_closed:
                        if self._has_bytes and not self._has_frames:
                            raise ProbeError(ProbeReason.WRONG_PROTOCOL)
                        return None
                    async with asyncio.timeout(SILENCE_TIMEOUT):
                        await self._progress.wait()
        except TimeoutError:
            is_other = self._has_bytes and not self._has_frames
            reason = ProbeReason.WRONG_PROTOCOL if is_other else ProbeReason.SILENT
            raise ProbeError(reason) from None
        if self._transport is not None and not self._is_closed:
            self._transport.write(encode(DISCONNECT))
        decoder = Decoder(self._mirror)
        identity = decoder.identity()
        if identity is None:
            return None
        nodes = decoder.nodes(time.time()).values()
        favorites = sum(node.is_favorite and not node.is_own for node in nodes)
        return ProbeResult(identity=identity, nodes=len(nodes), favorites=favorites)
