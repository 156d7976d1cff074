"""Proves, before it is added, that a MeshCore companion radio answers at an endpoint."""

import asyncio
from contextlib import suppress
from typing import Final, override

from ..mesh.probe import Conversation, prove
from ..mesh.source import ProbeResult
from ..mesh.transport import Endpoint
from . import decode
from .codes import Resp
from .frames import Contact, FrameError
from .framing import DeviceStreamDecoder, to_device
from .mirror import READ_DEVICE, READ_SELF, Mirror
from .reading import READ_CONTACTS

SILENCE_TIMEOUT: Final = 10.0
"""A radio that has not answered for so long is none, or is not well."""
ASK_INTERVAL: Final = 2.5
"""A board that restarts when its serial port is opened hears only a later question."""
CONTACTS_TIMEOUT: Final = 10.0
"""A list of contacts that takes longer counts as far as it came."""


async def probe(endpoint: Endpoint) -> ProbeResult:
    """Ask the radio at an endpoint who it is and whom it knows, and let go of it again.

    Args:
        endpoint: Where the radio is; none whose link is held already.

    Raises:
        ProbeError: There is no MeshCore companion to be had; the reason says why.
    """
    return await prove(endpoint, _Questions)


class _Questions(Conversation):
    """One connection, up to the radio's identity and contacts."""

    def __init__(self) -> None:
        super().__init__()
        self._decoder = DeviceStreamDecoder()
        self._mirror = Mirror()
        self._favorites: dict[bytes, bool] = {}
        self._has_contacts = False

    @override
    def _received(self, data: bytes) -> None:
        for frame in self._decoder.feed(data):
            with suppress(FrameError):
                if frame[0] == Resp.DEVICE_INFO:
                    self._mirror.learn(READ_DEVICE, frame)
                    self._has_frames = True
                elif frame[0] == Resp.SELF_INFO:
                    self._mirror.learn(READ_SELF, frame)
                    self._has_frames = True
                elif frame[0] == Resp.CONTACT:
                    contact = Contact.parse(frame)
                    self._favorites[contact.public_key] = bool(contact.flags & 1)
                elif frame[0] == Resp.END_OF_CONTACTS:
                    self._has_contacts = True

    @override
    async def result(self) -> ProbeResult | None:
        try:
            async with asyncio.timeout(SILENCE_TIMEOUT):
                while self._mirror.device is None or self._mirror.info is None:
                    if self._is_closed:
                        self._taken_away()
                        return None
                    await self._ask()
        except TimeoutError:
            raise self._no_answer() from None
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
        self._write(to_device(READ_CONTACTS))
        with suppress(TimeoutError):
            async with asyncio.timeout(CONTACTS_TIMEOUT):
                while not self._has_contacts and not self._is_closed:
                    await self._news()

    async def _ask(self) -> None:
        """Send the question that is open, and wait for something to come."""
        question = READ_DEVICE if self._mirror.device is None else READ_SELF
        self._write(to_device(question))
        answered = self._mirror.device
        with suppress(TimeoutError):
            async with asyncio.timeout(ASK_INTERVAL):
                while not self._is_closed and self._mirror.info is None:
                    if answered is not self._mirror.device:
                        return
                    await self._news()
