"""The one conversation with the radio: what comes over the link, in order, for who has to know."""

from collections.abc import Callable
import logging
import random
import time
from typing import Final, Protocol

from ..mesh.link import Link
from ..mesh.model import LinkStatus
from ..mesh.transport import Endpoint, SerialEndpoint
from . import wire
from .framing import encode
from .mirror import CaptureResult, Mirror
from .session import DISCONNECT, HEARTBEAT_INTERVAL, EventKind, Phase, Session, Step

_LOGGER = logging.getLogger(__name__)

_MAX_NONCE: Final = 0xFFFFFFFF
DAMAGED_DUMPS: Final = 2
"""So many configurations in a row of which a frame did not come whole are read again. What comes
with a fault each time is no accident, and better than nothing."""


class RadioListener(Protocol):
    """Who has to know what the radio says."""

    def link_status(self, status: LinkStatus) -> None:
        """The link changed its state."""

    def dump_complete(self, result: CaptureResult) -> None:
        """The radio has told its whole configuration, and it is being served."""

    def frame(self, payload: bytes, variant: wire.Field) -> None:
        """The radio said something else.

        Args:
            payload: A well-formed ``FromRadio``.
            variant: The field of it that counts.

        Raises:
            wire.WireError: It is malformed inside.
        """

    def caught_up(self) -> None:
        """All that has arrived so far was told."""

    def session_lost(self) -> None:
        """Nothing can be sent until the next `dump_complete`."""

    def tick(self) -> None:
        """Some seconds have passed."""


class Radio:
    """Holds the link and keeps the mirror; an `Upstream` of the link."""

    def __init__(
        self,
        endpoint: Endpoint,
        mirror: Mirror,
        listener: RadioListener,
        *,
        name: str,
        heartbeat_interval: float = HEARTBEAT_INTERVAL,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare a conversation that is not begun.

        Args:
            endpoint: Where the radio is.
            mirror: Takes over what the radio tells of itself.
            listener: Who has to know the rest.
            name: What log lines call the source.
            heartbeat_interval: Seconds from one heartbeat to the next.
            clock: Seconds that only grow.
        """
        self._mirror = mirror
        self._listener = listener
        self._name = name
        self._clock = clock
        self._damaged_frames = 0
        self._damaged_dumps = 0
        self._session = Session(
            lambda: random.randint(2, _MAX_NONCE),
            is_serial=isinstance(endpoint, SerialEndpoint),
            heartbeat_interval=heartbeat_interval,
        )
        self.link = Link(endpoint, self, name=name, on_status=listener.link_status, clock=clock)

    @property
    def malformed_frames(self) -> int:
        """How many frames of the radio were no well-formed messages."""
        return self._session.malformed_frames + self._damaged_frames

    def write(self, frame: bytes) -> bool:
        """Send a frame; returns whether there is a radio that was read and takes it."""
        return self._session.phase is Phase.LIVE and self.link.write(frame)

    def reread(self) -> None:
        """Have the configuration read anew: by a new session, since each asks only once."""
        self.link.drop("reading the configuration anew")

    def link_opened(self, now: float) -> None:
        """Begin the handshake."""
        self._mirror.begin_capture()
        self.link.write(self._session.open(now))

    def link_data(self, data: bytes, now: float) -> None:
        """Take bytes from the radio."""
        self._follow(self._session.receive(data, now))

    def link_closed(self, now: float) -> None:
        """The connection is gone."""
        self._session.close()
        self._mirror.abandon_capture()
        self._listener.session_lost()

    def link_tick(self, now: float) -> float:
        """Do what is due."""
        step = self._session.tick(now)
        self._follow(step)
        self._listener.tick()
        return step.delay

    def link_farewell(self) -> bytes:
        """Let the radio free its one place at once."""
        return encode(DISCONNECT)

    def _follow(self, step: Step) -> None:
        if step.write:
            self.link.write(step.write)
        for event in step.events:
            try:
                match event.kind:
                    case EventKind.DUMP_STARTED:
                        self._listener.session_lost()
                        self.link.mark_handshake()
                        self._mirror.begin_capture()
                    case EventKind.DUMP_COMPLETE:
                        self._complete()
                    case EventKind.DUMP_FRAME:
                        if not self._mirror.capture(event.payload) and event.variant is not None:
                            self._listener.frame(event.payload, event.variant)
                    case EventKind.LIVE:
                        if event.variant is not None:
                            self._listener.frame(event.payload, event.variant)
            except wire.WireError:
                # It is damaged inside. An app that got this would close its connection.
                self._damaged_frames += 1
            except Exception:
                # One frame must never cost the link, and with it everybody's connection.
                _LOGGER.exception("%s: error in handling a frame of the radio", self._name)
        if step.events:
            self._listener.caught_up()
        if step.drop is not None:
            self.link.drop(step.drop)

    def _complete(self) -> None:
        is_damaged = self._session.is_dump_damaged or self._mirror.is_capture_damaged
        if is_damaged and self._damaged_dumps < DAMAGED_DUMPS:
            self._damaged_dumps += 1
            self.link.drop("damaged configuration")
            return
        self._damaged_dumps = 0
        result = self._mirror.complete_capture()
        if not result.is_complete:
            self.link.drop(f"incomplete configuration: {result.problem}")
            return
        self._listener.dump_complete(result)
        self.link.mark_ready()
