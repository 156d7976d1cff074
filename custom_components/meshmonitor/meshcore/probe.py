"""Proves, before it is added, that a MeshCore companion radio answers at an endpoint."""

import asyncio
from contextlib import suppress
from typing import Final, override

from ..mesh.source import ProbeError, ProbeReason, ProbeResult
from ..mesh.transport import Endpoint, TransportError, open_transport
from . import decode
from .codes import Resp
from .frames import Contact, FrameError
from .framing import DeviceStreamDecoder, to_device
from .mirror import READ_DEVICE, READ_SELF, Mirror
from .reading import READ_CONTACTS

CONNECT_TIMEOUT: Final = 10.0
SILENCE_TIMEOUT: Final = 10.0
"""A radio that has not answered for so long is none, or is not well."""
ASK_INTERVAL: Final = 2.5
"""A board that restarts when its serial port is opened hears only a later question."""
ATTEMPTS: Final = 3
"""A connection may be lost to an app that reconnects once; one that is lost each time is fought
for."""
CONTACTS_TIMEOUT: Final = 10.0
"""A list of contacts that takes longer counts as far as it came."""
_RETRY_DELAY: Final = 0.5
_CLOSE_TIMEOUT: Final = 2.0


async def probe(endpoint: Endpoint) -> ProbeResult:
    """Ask the radio at an endpoint who it is and whom it knows, and let go of it again.

    Args:
        endpoint: Where the radio is. It must not be one whose link is held already: a radio serves
            one connection, and the newest wins.

    Raises:
        ProbeError: There is no MeshCore companion to be had; the reason says why.
    """
    for attempt in range(ATTEMPTS):
        if attempt:
            await asyncio.sleep(_RETRY_DELAY)
        try:
            transport, conversation = await open_transport(
                endpoint, _Conversation, timeout=CONNECT_TIMEOUT
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
    """One connection, up to the radio's identity."""

    def __init__(self) -> None:
        self._decoder = DeviceStreamDecoder()
        self._mirror = Mirror()
        self._transport: asyncio.Transport | None = None
        self._has_bytes = False
        self._has_answers = False
        self._favorites: dict[bytes, bool] = {}
        self._has_contacts = False
        self._is_closed = False
        self._progress = asyncio.Event()

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    @override
    def data_received(self, data: bytes) -> None:
        self._has_bytes = True
        for frame in self._decoder.feed(data):
            with suppress(FrameError):
                if frame[0] == Resp.DEVICE_INFO:
                    self._mirror.learn(READ_DEVICE, frame)
                    self._has_answers = True
                elif frame[0] == Resp.SELF_INFO:
                    self._mirror.learn(READ_SELF, frame)
                    self._has_answers = True
                elif frame[0] == Resp.CONTACT:
                    contact = Contact.parse(frame)
                    self._favorites[contact.public_key] = bool(contact.flags & 1)
                elif frame[0] == Resp.END_OF_CONTACTS:
                    self._has_contacts = True
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
        """Ask until both answers are there; None where the connection was taken away.

        Raises:
            ProbeError: Nothing comes, or nothing that this protocol knows.
        """
        try:
            async with asyncio.timeout(SILENCE_TIMEOUT):
                while self._mirror.device is None or self._mirror.info is None:
                    if self._is_closed:
                        if self._has_bytes and not self._has_answers:
                            raise ProbeError(ProbeReason.WRONG_PROTOCOL)
                        return None
                    await self._ask()
        except TimeoutError:
            is_other = self._has_bytes and not self._has_answers
            reason = ProbeReason.WRONG_PROTOCOL if is_other else ProbeReason.SILENT
            raise ProbeError(reason) from None
        identity = decode.identity(self._mirror)
        if identity is None:
            return None
        await self._read_contacts()
        return ProbeResult(
            identity=identity,
            nodes=len(self._favorites) + 1,
            favorites=sum(self._favorites.values()),
        )

    async def _read_contacts(self) -> None:
        """Let the radio name its contacts, for their number."""
        if self._transport is not None:
            self._transport.write(to_device(READ_CONTACTS))
        with suppress(TimeoutError):
            async with asyncio.timeout(CONTACTS_TIMEOUT):
                while not self._has_contacts and not self._is_closed:
                    self._progress.clear()
                    await self._progress.wait()

    async def _ask(self) -> None:
        """Send the question that is open, and wait for something to come."""
        question = READ_DEVICE if self._mirror.device is None else READ_SELF
        if self._transport is not None:
            self._transport.write(to_device(question))
        answered = self._mirror.device
        with suppress(TimeoutError):
            async with asyncio.timeout(ASK_INTERVAL):
                while not self._is_closed and self._mirror.info is None:
                    if answered is not self._mirror.device:
                        return
                    self._progress.clear()
                    await self._progress.wait()
