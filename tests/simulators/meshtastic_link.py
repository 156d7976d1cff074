"""How a simulated Meshtastic node's bytes reach its client: the common part, and TCP.

Source: `src/mesh/StreamAPI.cpp` and `src/mesh/api/ServerAPI.cpp` of the firmware. The node reads
all that has arrived, then writes until there is nothing more to send.
"""

from abc import ABC, abstractmethod
import asyncio
from collections import Counter
from collections.abc import Callable
import socket
import struct
from typing import Final, Protocol, cast, override

from .meshtastic_config import NodeConfig
from .meshtastic_faults import HTTP_ANSWER, Faults, OnConnect
from .meshtastic_frames import FrameReader, frame
from .meshtastic_phone_api import PhoneApi

BATCH: Final = 16 * 1024
"""Bytes collected into one write, where nothing asks for smaller pieces."""
RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)
"""`SO_LINGER` that makes closing a socket send a reset."""


class Host(Protocol):
    """What a link needs of its node."""

    config: NodeConfig
    faults: Faults
    tally: Counter[str]

    def make_api(self) -> PhoneApi:
        """Return the protocol state for a new connection."""

    def handle(self, link: Link, payload: bytes) -> None:
        """Record and act on one payload from the client."""

    def pump(self) -> None:
        """Let all links send what waits."""

    def opened(self, link: TcpLink) -> int:
        """Take a new TCP connection and return its number."""

    def closed(self, link: TcpLink) -> None:
        """Forget a TCP connection that ended."""


class Link(ABC):
    """One carrier of frames between the node and its client."""

    def __init__(self, host: Host) -> None:
        """Serve a client of `host`."""
        self._host = host
        self.api = host.make_api()
        self.reader = FrameReader()
        self.number = 0
        self.frames_sent = 0
        self._paused = False
        self._ended = False
        self._silent = False
        self._last_contact = 0.0
        self._waiting: asyncio.TimerHandle | None = None
        self._polling: asyncio.TimerHandle | None = None
        self._unread: list[bytes] = []

    @abstractmethod
    def _write(self, data: bytes) -> None:
        """Hand bytes to the carrier."""

    @abstractmethod
    def end(self, *, reset: bool = False) -> None:
        """End the connection at once; what was not sent is lost."""

    # Receiving.

    def _arrived(self, data: bytes) -> None:
        """Take bytes from the carrier, now or when the node next polls."""
        delay = self._host.config.poll_interval
        if not delay:
            self._read(data)
            return
        if not self._unread:
            self._polling = asyncio.get_running_loop().call_later(delay, self._poll)
        self._unread.append(data)

    def _poll(self) -> None:
        data, self._unread = b"".join(self._unread), []
        if not self._ended:
            self._read(data)

    def _read(self, data: bytes) -> None:
        skipped = self.reader.skipped
        payloads = self.reader.feed(data)
        self._host.tally["skipped_bytes"] += self.reader.skipped - skipped
        for payload in payloads:
            self._last_contact = asyncio.get_running_loop().time()
            self._host.handle(self, payload)
            if self._ended:
                return
        if self.api.disconnected:
            self._disconnected_by_client()
        self._host.pump()

    @abstractmethod
    def _disconnected_by_client(self) -> None:
        """Do what the carrier does on `ToRadio.disconnect`."""

    # Sending.

    def pump(self) -> None:
        """Send what waits, as far as the carrier and the configured pace allow."""
        if not self._can_send():
            return
        faults, pace = self._host.faults, self._host.config.frame_delay
        batch = bytearray()
        while (payload := self.api.next_payload()) is not None:
            data = faults.torn(self._dress(frame(payload)), self.frames_sent)
            if (cut := faults.due_cut(self.frames_sent)) is not None:
                self._write(bytes(batch) + data[: len(data) // 2 if cut.mid_frame else 0])
                self._close_after_write(reset=cut.reset)
                return
            self.frames_sent += 1
            batch += data
            if faults.dribble is not None:
                self._dribble(bytes(batch))
                return
            if pace:
                self._write(bytes(batch))
                self._wait(pace, self.pump)
                return
            if len(batch) >= BATCH:
                self._write(bytes(batch))
                batch.clear()
                if not self._can_send():
                    return
        if batch:
            self._write(bytes(batch))

    def _can_send(self) -> bool:
        blocked = self._paused or self._ended or self._silent or self._host.faults.mute
        return self._waiting is None and not blocked

    def write_now(self, data: bytes) -> None:
        """Send bytes as they are, past the queues and whatever the state."""
        if not self._ended:
            self._write(data)

    def _dress(self, data: bytes) -> bytes:
        """Return `data` with what the carrier mixes in between frames."""
        return data

    @abstractmethod
    def _close_after_write(self, *, reset: bool) -> None:
        """End the connection once the bytes handed over so far are out."""

    def _dribble(self, data: bytes) -> None:
        """Send `data` piece by piece, then go on."""
        dribble = self._host.faults.dribble
        if dribble is None or not data:
            self._write(data)
            self.pump()
            return
        self._write(data[: dribble.size])
        rest = data[dribble.size :]
        self._wait(dribble.delay, (lambda: self._dribble(rest)) if rest else self.pump)

    def _wait(self, delay: float, then: Callable[[], None]) -> None:
        def resume() -> None:
            self._waiting = None
            if not self._ended:
                then()

        self._waiting = asyncio.get_running_loop().call_later(delay, resume)

    def _stop_waiting(self) -> None:
        self._ended = True
        if self._polling is not None:
            self._polling.cancel()
            self._polling = None
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None


class TcpLink(Link, asyncio.Protocol):
    """A TCP connection."""

    def __init__(self, host: Host) -> None:
        """Serve one TCP client of `host`."""
        super().__init__(host)
        self._transport: asyncio.Transport | None = None
        self._timers: list[asyncio.TimerHandle] = []

    # asyncio's side.

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.number = self._host.opened(self)
        match self._host.faults.on_connect:
            case OnConnect.RESET:
                self.end(reset=True)
                return
            case OnConnect.CLOSE:
                self.end()
                return
            case OnConnect.BLACK_HOLE:
                self._silent = True
        loop = asyncio.get_running_loop()
        if (after := self._host.faults.stolen_after) is not None:
            self._timers.append(loop.call_later(after, self._steal))
        self._last_contact = loop.time()
        self._end_if_idle()

    @override
    def data_received(self, data: bytes) -> None:
        if self._host.faults.on_connect is OnConnect.HTTP:
            self._write(HTTP_ANSWER)
            self._close_after_write(reset=False)
        elif not self._ended:
            self._arrived(data)

    @override
    def pause_writing(self) -> None:
        self._paused = True

    @override
    def resume_writing(self) -> None:
        self._paused = False
        self.pump()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        for timer in self._timers:
            timer.cancel()
        self._host.closed(self)

    # The link's side.

    @override
    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    @override
    def end(self, *, reset: bool = False) -> None:
        self._stop_waiting()
        if self._transport is None:
            return
        if reset:
            raw = cast("socket.socket", self._transport.get_extra_info("socket"))
            if raw.fileno() >= 0:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self._transport.abort()

    @override
    def _close_after_write(self, *, reset: bool) -> None:
        self._stop_waiting()
        if reset:
            # A reset overtakes what is still on its way, so leave the bytes a moment.
            asyncio.get_running_loop().call_later(0.05, lambda: self.end(reset=True))
        elif self._transport is not None:
            self._transport.close()

    @override
    def _disconnected_by_client(self) -> None:
        self.end()

    def _end_if_idle(self) -> None:
        loop, timeout = asyncio.get_running_loop(), self._host.config.idle_timeout
        left = self._last_contact + timeout - loop.time()
        if left <= 0:
            self._host.tally["idle_timeouts"] += 1
            self.end()
        else:
            self._timers.append(loop.call_later(left, self._end_if_idle))

    def _steal(self) -> None:
        self._host.tally["stolen"] += 1
        self.end()
