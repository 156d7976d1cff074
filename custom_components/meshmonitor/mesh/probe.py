"""Proves, before it is added, that a radio answers at an endpoint: what all protocols do alike."""

from abc import ABC, abstractmethod
import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final, override

from .source import ProbeError, ProbeReason, ProbeResult
from .transport import Endpoint, TransportError, open_transport

CONNECT_TIMEOUT: Final = 10.0
ATTEMPTS: Final = 3
"""A connection may be lost to an app that reconnects once; one that is lost each time is fought
for."""
RETRY_DELAY: Final = 0.5
_CLOSE_TIMEOUT: Final = 2.0


class Conversation(asyncio.Protocol, ABC):
    """One connection, up to where the radio has said who it is."""

    def __init__(self) -> None:
        """Wait for the connection."""
        self._transport: asyncio.Transport | None = None
        self._has_bytes = False
        self._has_frames = False
        """Whether something came that this protocol knows."""
        self._is_closed = False
        self._progress = asyncio.Event()

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    @override
    def data_received(self, data: bytes) -> None:
        """Take bytes from the radio."""
        self._has_bytes = True
        self._received(data)
        self._progress.set()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        """Take note that nothing more comes."""
        self._is_closed = True
        self._progress.set()

    @abstractmethod
    def _received(self, data: bytes) -> None:
        """Read what came, cut anywhere."""

    @abstractmethod
    async def result(self) -> ProbeResult | None:
        """Wait until the radio has said who it is; None where the connection was taken away.

        Raises:
            ProbeError: Nothing comes, or nothing that this protocol knows.
        """

    async def wait_closed(self) -> None:
        """Wait until the connection is gone: a serial port can be opened again only then."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_TIMEOUT):
                while not self._is_closed:
                    await self._news()

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._is_closed:
            self._transport.write(data)

    async def _news(self) -> None:
        """Wait until something comes, or the connection ends."""
        self._progress.clear()
        await self._progress.wait()

    def _no_answer(self) -> ProbeError:
        """Return what a radio is that was waited for in vain."""
        return ProbeError(
            ProbeReason.WRONG_PROTOCOL if self._is_other_protocol else ProbeReason.SILENT
        )

    def _taken_away(self) -> None:
        """Tell a connection that was taken from us from one that is none of this protocol's.

        Raises:
            ProbeError: What ended it does not speak this protocol.
        """
        if self._is_other_protocol:
            raise self._no_answer()

    @property
    def _is_other_protocol(self) -> bool:
        return self._has_bytes and not self._has_frames


async def prove(endpoint: Endpoint, make_conversation: Callable[[], Conversation]) -> ProbeResult:
    """Talk to the radio at an endpoint, and let go of it again.

    Args:
        endpoint: Where the radio is. It must not be one whose link is held already: a radio serves
            one connection, and the newest wins.
        make_conversation: Makes what talks to it over one connection.

    Raises:
        ProbeError: There is no radio of the protocol to be had; the reason says why.
    """
    for attempt in range(ATTEMPTS):
        if attempt:
            await asyncio.sleep(RETRY_DELAY)
        try:
            transport, conversation = await open_transport(
                endpoint, make_conversation, timeout=CONNECT_TIMEOUT
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
