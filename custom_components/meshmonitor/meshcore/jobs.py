"""What is to be said to the device, and what there is to do about it."""

from collections.abc import Hashable
from dataclasses import dataclass, field
from enum import StrEnum

from .commands import COMMANDS, Command, Slot


class Outcome(StrEnum):
    """How a job ended."""

    ANSWERED = "answered"
    """The device answered, with an error perhaps."""
    TIMEOUT = "timeout"
    """The device did not answer; it may have done what it was told."""
    LOST = "lost"
    """The link went away after it was sent; it may have been done."""
    EXPIRED = "expired"
    """It could not be sent in time."""
    QUEUE_FULL = "queue_full"
    BUSY = "busy"
    """Another request was pending in the device for too long."""


@dataclass(slots=True, eq=False)
class Job:
    """One command that someone wants sent."""

    frame: bytes = field(repr=False)
    owner: Hashable
    """Whose turn it counts as, and whose pushes follow; None for who is gone."""
    expires: float
    """Clock time by which it must have been sent."""
    slot: Slot | None = None
    key: bytes = b""
    scope: bytes | None = field(default=None, repr=False)
    """The ``SET_FLOOD_SCOPE_KEY`` command whose scope it is sent in; None where none matters."""
    is_background: bool = False
    """Whether its pending request gives way to somebody else's."""
    replies: list[bytes] = field(default_factory=list, repr=False)
    outcome: Outcome | None = None

    @property
    def command(self) -> Command:
        """Its row of the command table."""
        return COMMANDS[self.frame[0]]


@dataclass(frozen=True, slots=True)
class Write:
    """Send this command to the device."""

    frame: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Done:
    """A job has ended; its `outcome` and `replies` are final."""

    job: Job


@dataclass(frozen=True, slots=True)
class Pushed:
    """A push came from the device."""

    frame: bytes = field(repr=False)
    owners: tuple[Hashable, ...] | None
    """Who asked for it; None is for everyone."""


@dataclass(frozen=True, slots=True)
class Overheard:
    """An app at another interface of the device fetched a message: it is in no queue now."""

    frame: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class StreamBegun:
    """The device begins to send its contacts."""


@dataclass(frozen=True, slots=True)
class ResetLink:
    """The device does not answer at all; the connection must be opened anew."""


type Action = Write | Done | Pushed | Overheard | StreamBegun | ResetLink
