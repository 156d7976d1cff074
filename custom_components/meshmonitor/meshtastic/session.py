"""The talk with a radio over one connection: handshake, heartbeat, liveness. Without I/O.

A radio restarts its configuration dump at every ``want_config_id``, and some builds crash when a
second one comes while the first is being answered, so a session asks exactly once
(firmware ``src/mesh/PhoneAPI.cpp``).
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from . import packets, wire
from .framing import FrameDecoder, encode

HEARTBEAT_INTERVAL: Final = 30.0
"""The radio closes a session after 15 minutes without a message; this is the apps' own habit."""
SILENT_HEARTBEATS: Final = 2.5
"""A radio that answers heartbeats is gone when nothing came for so many intervals."""
_ANSWER_TIMEOUT: Final = 5.0
FIRST_FRAME_TIMEOUT: Final = 20.0
PROGRESS_TIMEOUT: Final = 20.0
"""The longest pause inside a configuration dump. Slow boards need ten seconds for all of it."""
DUMP_TIMEOUT: Final = 300.0
"""The longest dump. As many nodes as are kept need a minute over a serial line; a dump that never
ends would never be missed either."""
PARTIAL_FRAME_TIMEOUT: Final = 5.0
QUIET_TIMEOUT: Final = 300.0
"""A radio tells its client its own measurements each minute (``DeviceTelemetryModule::runOnce``).
One at a serial port that says nothing of its own for so long, though it answers heartbeats, has
forgotten the session: it restarted without a word, or heard nothing from here for 15 minutes. The
port shows neither, and nothing would ever come again. One that never said anything, as a build
without telemetry may, is just quiet."""
_RESERVED_NONCES: Final = frozenset({0, 1, 69420, 69421})

_CONFIG_COMPLETE: Final = 7
_REBOOTED: Final = 8
_LOG_RECORD: Final = 6
_QUEUE_STATUS: Final = 11
_TRAFFIC: Final = frozenset({2, _LOG_RECORD, _QUEUE_STATUS, 12, 14, 16})
"""Packets, log records, queue states, files, MQTT and notifications: no part of a dump. A radio
that is in use says so much that a dump whose end was lost would never be missed."""
_MESH_PACKET_ID: Final = 4

HEARTBEAT: Final = bytes.fromhex("3a00")
"""``ToRadio.heartbeat`` with nonce 0: nonce 1 would make the radio broadcast its node info."""
DISCONNECT: Final = bytes.fromhex("2001")
"""``ToRadio.disconnect``: the radio closes at once instead of waiting for a lost peer."""
_SERIAL_WAKE: Final = b"\xc3" * 32
"""What the Python client writes first: it completes a half-read frame in the radio's parser."""

_BOOT_BANNER: Final = b"\n//\\ E S H T /\\ S T / C"
"""The line with which every firmware boots (``src/main.cpp``). Up to 2.7 it writes ``rebooted``
just before; later ones write no frame until they are spoken to (``src/SerialConsole.cpp``,
``StreamAPI::writeFrame``). All of it counts: up to 2.7 the console also says between the frames
which texts were received (``TextMessageModule``)."""
_KEPT_TEXT: Final = 2048
"""More than comes in one piece."""


class Phase(Enum):
    """How far a session has come."""

    CLOSED = auto()
    DUMP = auto()
    """The radio was asked for its configuration, which is arriving."""
    LIVE = auto()


class EventKind(Enum):
    """What a frame of the radio is to its reader."""

    DUMP_STARTED = auto()
    DUMP_FRAME = auto()
    """A frame that came between the request and the end of the dump; live ones among them."""
    DUMP_COMPLETE = auto()
    LIVE = auto()


@dataclass(frozen=True, slots=True)
class SessionEvent:
    """One step of a session."""

    kind: EventKind
    payload: bytes = b""
    """The ``FromRadio`` message, as it came."""
    variant: wire.Field | None = None
    """The one field of it that counts."""


@dataclass(frozen=True, slots=True)
class Step:
    """What follows from bytes that came, or from time that passed."""

    events: tuple[SessionEvent, ...] = ()
    """What came, in order."""
    write: bytes = b""
    """What to write to the radio."""
    drop: str | None = None
    """Why the connection is to be ended; None where it is not."""
    delay: float = 5.0
    """After how many seconds to call `Session.tick` again at the latest."""


class Session:
    """One connection's talk with a radio."""

    def __init__(
        self,
        new_nonce: Callable[[], int],
        *,
        is_serial: bool,
        heartbeat_interval: float = HEARTBEAT_INTERVAL,
    ) -> None:
        """Prepare for a connection.

        Args:
            new_nonce: Gives unsigned 32-bit numbers that nobody can guess.
            is_serial: Whether the radio may have stopped amid a frame of an earlier program.
            heartbeat_interval: Seconds from one heartbeat to the next.
        """
        self.phase = Phase.CLOSED
        self.decoder = FrameDecoder()
        self.malformed_frames = 0
        self.is_dump_damaged = False
        """Whether a malformed frame was in the dump that is arriving, or arrived last."""
        self._new_nonce = new_nonce
        self._is_serial = is_serial
        self._nonce = 0
        self._heartbeat_interval = heartbeat_interval
        self._asked_at = 0.0
        self._last_data = 0.0
        self._last_progress: float | None = None
        self._last_heartbeat = 0.0
        self._answers_heartbeats = False
        self._last_said: float | None = None
        self._is_restarting = False

    def open(self, now: float) -> bytes:
        """Begin; returns what to write."""
        self.decoder = FrameDecoder(keep_stray=_KEPT_TEXT if self._is_serial else 0)
        self._answers_heartbeats = self._is_restarting = False
        request = self._request(now)
        return _SERIAL_WAKE + request if self._is_serial else request

    def close(self) -> None:
        """The connection is gone."""
        self.phase = Phase.CLOSED

    def receive(self, data: bytes, now: float) -> Step:
        """Take bytes from the radio."""
        self._last_data = now
        step = self._take(self.decoder.feed(data, now), now)
        if _BOOT_BANNER in self.decoder.stray:
            self.decoder.stray = b""
            if not self._is_restarting:
                return self._restart(step, now)
        return step

    def tick(self, now: float) -> Step:
        """Do what is due."""
        partial = self.decoder.partial_since
        if partial is not None and now - partial > PARTIAL_FRAME_TIMEOUT:
            return self._take(self.decoder.abandon_partial(now), now)
        if self.phase is Phase.CLOSED:
            return Step()
        if self.phase is Phase.DUMP:
            return Step(drop=self._overdue(now), delay=1.0)
        silence = now - self._last_data
        limit = SILENT_HEARTBEATS * self._heartbeat_interval
        if (
            self._is_serial
            and self._last_said is not None
            and now - self._last_said > QUIET_TIMEOUT
        ):
            return self._restart(Step(), now)
        if self._answers_heartbeats and silence > limit:
            return Step(drop="no answer to heartbeats")
        due = self._last_heartbeat + self._heartbeat_interval - now
        if due > 0:
            return Step(delay=min(due, 5.0))
        self._last_heartbeat = now
        return Step(write=encode(HEARTBEAT), delay=min(self._heartbeat_interval, 5.0))

    def _overdue(self, now: float) -> str | None:
        if self._last_progress is None:
            if now - self._asked_at > FIRST_FRAME_TIMEOUT:
                return "no answer to the configuration request"
        elif now - self._last_progress > PROGRESS_TIMEOUT:
            return "the configuration stopped arriving"
        elif now - self._asked_at > DUMP_TIMEOUT:
            return "the configuration does not end"
        return None

    def _restart(self, step: Step, now: float) -> Step:
        """Ask again a radio that has forgotten what it was asked, behind what it still said."""
        self._is_restarting = True
        started = SessionEvent(EventKind.DUMP_STARTED)
        return Step((*step.events, started), step.write + self._request(now))

    def _request(self, now: float) -> bytes:
        self.phase = Phase.DUMP
        self.is_dump_damaged = False
        self._asked_at = self._last_data = now
        self._last_progress = self._last_said = None
        self._last_heartbeat = float("-inf")
        self._nonce = self._new_nonce()
        while self._nonce in _RESERVED_NONCES:
            self._nonce = self._new_nonce()
        return encode(wire.varint_field(3, self._nonce))

    def _take(self, payloads: list[bytes], now: float) -> Step:
        events: list[SessionEvent] = []
        write = b"".join([self._frame(payload, now, events) for payload in payloads])
        return Step(tuple(events), write)

    def _frame(self, payload: bytes, now: float, events: list[SessionEvent]) -> bytes:
        """Note what one frame means; returns what to write in answer."""
        try:
            fields = wire.scan(payload)
        except wire.WireError:
            # An app that got this would close its connection: it goes no further than here.
            self.malformed_frames += 1
            self.is_dump_damaged |= self.phase is Phase.DUMP
            return b""
        found = {field.number: field for field in fields}
        if wire.value_int(found.get(_REBOOTED)):
            # Only a serial console says so. What was asked before is forgotten, also half a dump.
            self._is_restarting = True
            events.append(SessionEvent(EventKind.DUMP_STARTED))
            return self._request(now)
        queue_status = found.get(_QUEUE_STATUS)
        if queue_status is not None and _names_no_packet(wire.value_bytes(payload, queue_status)):
            if now - self._last_heartbeat < _ANSWER_TIMEOUT:
                # Firmware before 2.7.4 does not answer heartbeats; its silence means nothing.
                self._answers_heartbeats = True
        elif _LOG_RECORD not in found and self.phase is Phase.LIVE:
            # A radio that waits to be asked answers heartbeats all the same, and logs.
            self._last_said = now
        variant = packets.variant_of(fields)
        complete = found.get(_CONFIG_COMPLETE)
        if self.phase is not Phase.DUMP:
            if complete is None:
                events.append(SessionEvent(EventKind.LIVE, payload, variant))
            return b""
        if complete is None:
            if variant is None or variant.number not in _TRAFFIC:
                self._last_progress = now
            if variant is not None and variant.number == packets.MY_INFO:
                # The first of a dump. What came before is the rest of another one.
                self.is_dump_damaged = False
            events.append(SessionEvent(EventKind.DUMP_FRAME, payload, variant))
        elif wire.value_int(complete) == self._nonce:
            self.phase = Phase.LIVE
            self._is_restarting = False
            self._last_heartbeat = now
            events.append(SessionEvent(EventKind.DUMP_COMPLETE))
            return encode(HEARTBEAT)
        return b""


def _names_no_packet(queue_status: bytes) -> bool:
    """Return whether a ``QueueStatus`` answers a heartbeat rather than a packet."""
    try:
        return wire.value_int(wire.last(wire.scan(queue_status), _MESH_PACKET_ID)) == 0
    except wire.WireError:
        return False
