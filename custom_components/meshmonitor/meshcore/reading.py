"""What has to be read from the device, in which order, and how often it is tried.

After each connection the whole state is read: who the device is, its clock, contacts, channels,
settings. Later single things are read again because a push or a change of a client says so. No
I/O: it says what is to be sent next and takes what came of it.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

from .codes import Cmd, Resp
from .contacts import ReadResult
from .frames import FrameError
from .jobs import Job, Outcome
from .mirror import READ_DEVICE, READ_SELF, Mirror

READ_CONTACTS: Final = bytes([Cmd.GET_CONTACTS])
READ_TIME: Final = bytes([Cmd.GET_DEVICE_TIME])

ATTEMPTS: Final = 3
"""How often a reading that stays unanswered is tried."""
CONTACT_RETRY: Final = 1.0
"""Seconds until a list that lost frames is read again, doubling up to the next."""
CONTACT_RETRY_LIMIT: Final = 60.0
CLOCK_TOLERANCE: Final = 1
"""A device's clock that is so many seconds behind is set."""

_SETTINGS: Final = (
    # What is read, and the protocol version that brought it.
    (bytes([Cmd.GET_BATT_AND_STORAGE]), 1),
    (bytes([Cmd.GET_CUSTOM_VARS]), 5),
    (bytes([Cmd.GET_TUNING_PARAMS]), 7),
    (bytes([Cmd.GET_AUTOADD_CONFIG]), 8),
    (bytes([Cmd.GET_STATS, 0]), 8),
    (bytes([Cmd.GET_STATS, 1]), 8),
    (bytes([Cmd.GET_STATS, 2]), 8),
    (bytes([Cmd.GET_DEFAULT_FLOOD_SCOPE]), 11),
)
_FIGURES: Final = (Cmd.GET_BATT_AND_STORAGE, Cmd.GET_STATS)
_FIRST: Final = frozenset(
    {Cmd.DEVICE_QUERY, Cmd.APP_START, Cmd.GET_DEVICE_TIME, Cmd.SET_DEVICE_TIME, Cmd.GET_CHANNEL}
)
"""What has to be read or done before the device counts as known, besides a try at its contacts."""
_ESSENTIAL: Final = frozenset({Cmd.APP_START, Cmd.DEVICE_QUERY})


@dataclass(frozen=True, slots=True)
class ReadStep:
    """What became of a reading."""

    failed: str | None = None
    """Why the device cannot be used; the connection must be opened anew."""
    was_retried: bool = False
    is_malformed: bool = False
    """Whether the answer could not be read."""


class Reader:
    """A queue of readings without repetitions, and what it takes to call the device known."""

    def __init__(self, mirror: Mirror) -> None:
        """Start with nothing to read."""
        self.mirror = mirror
        self._queue: OrderedDict[bytes, int] = OrderedDict()
        self._contact_retry = CONTACT_RETRY
        self._contacts_due: float | None = None
        self._has_tried_contacts = False
        self._is_known = False

    @property
    def is_known(self) -> bool:
        """Whether identity, contacts and channels were read over this connection."""
        return self._is_known

    def begin(self) -> None:
        """A connection stands: read everything."""
        self.mirror.forget_wanted()
        self._queue.clear()
        self._contact_retry = CONTACT_RETRY
        self._contacts_due = None
        self._has_tried_contacts = self._is_known = False
        # First the version: the device remembers it, and forms messages that come in by it.
        self.add((READ_DEVICE, READ_SELF, READ_TIME))

    def end(self) -> None:
        """The connection is gone."""
        self._queue.clear()
        self._contacts_due = None
        self._is_known = False
        self.mirror.forget_wanted()

    def add(self, commands: Iterable[bytes]) -> None:
        """Have these read too, behind what waits; what waits already is read once."""
        for command in commands:
            self._queue.setdefault(command, 0)

    def add_figures(self) -> None:
        """Have battery and statistics read again."""
        self.add(self._supported(lambda code: code in _FIGURES))

    def next(self, now: float) -> bytes | None:
        """Return what to read next."""
        if self._contacts_due is not None and now >= self._contacts_due:
            self._contacts_due = None
            self.add((READ_CONTACTS,))
        return next(iter(self._queue), None)

    def done(self, job: Job, wall_time: float, now: float) -> ReadStep:
        """Take what came of a reading.

        Args:
            job: The reading, ended.
            wall_time: Unix time.
            now: The clock.
        """
        tries = self._queue.pop(job.frame, 0) + 1
        if job.frame == READ_CONTACTS:
            self._contacts_read(job, now)
            return ReadStep()
        if job.outcome is not Outcome.ANSWERED:
            return self._unanswered(job, tries)
        try:
            return self._answered(job.frame, job.replies[-1], wall_time)
        except FrameError:
            return replace(self._unanswered(job, tries), is_malformed=True)

    def contact_retry_due(self) -> float | None:
        """Return when the contact list has to be read again."""
        return self._contacts_due

    def _answered(self, command: bytes, reply: bytes, wall_time: float) -> ReadStep:
        code = command[0]
        if code in _ESSENTIAL and reply[0] == Resp.ERR:
            return ReadStep(failed="the device refused to say who it is")
        if code == Cmd.GET_DEVICE_TIME and reply[0] == Resp.CURR_TIME:
            self._time_read(int.from_bytes(reply[1:5], "little"), wall_time)
        elif code == Cmd.SET_DEVICE_TIME:
            if reply[0] == Resp.OK:
                self.mirror.note_time(int.from_bytes(command[1:5], "little"), wall_time)
        else:
            self.add(self.mirror.learn(command, reply))
        if code == Cmd.APP_START and not self._has_tried_contacts:
            self.add(self._everything())
        self._look_whether_known()
        return ReadStep()

    def _unanswered(self, job: Job, tries: int) -> ReadStep:
        if job.outcome is Outcome.LOST:
            return ReadStep()
        if tries < ATTEMPTS:
            self._queue[job.frame] = tries
            self._queue.move_to_end(job.frame, last=False)
            return ReadStep(was_retried=True)
        if job.frame[0] in _ESSENTIAL:
            return ReadStep(failed="no answer")
        if job.frame[0] == Cmd.GET_CONTACT_BY_KEY:
            self.mirror.not_answered(job.frame)
        self._look_whether_known()
        return ReadStep()

    def _contacts_read(self, job: Job, now: float) -> None:
        self._has_tried_contacts = True
        result = ReadResult.PARTIAL
        if job.replies and job.replies[0][0] == Resp.CONTACTS_START:
            total = int.from_bytes(job.replies[0][1:5], "little")
            frames = [frame for frame in job.replies if frame[0] == Resp.CONTACT]
            result = self.mirror.contacts.end_read(total, frames)
        if result is ReadResult.COMPLETE:
            self._contact_retry = CONTACT_RETRY
        elif result is ReadResult.UNCONFIRMED:
            self._contacts_due = now
        else:
            self._contacts_due = now + self._contact_retry
            self._contact_retry = min(self._contact_retry * 2, CONTACT_RETRY_LIMIT)
        self._look_whether_known()

    def _time_read(self, device_time: int, wall_time: float) -> None:
        self.mirror.note_time(device_time, wall_time)
        if wall_time - device_time > CLOCK_TOLERANCE:
            # Never backwards: the device refuses that, and repeaters would take its packets for
            # repetitions of older ones.
            moment = int(wall_time).to_bytes(4, "little")
            command = bytes([Cmd.SET_DEVICE_TIME]) + moment
            self.add((command,))
            self._queue.move_to_end(command, last=False)

    def _everything(self) -> list[bytes]:
        device = self.mirror.device
        slots = 0 if device is None else device.max_channels
        channels = [bytes((Cmd.GET_CHANNEL, index)) for index in range(slots)]
        return [READ_CONTACTS, *channels, *self._supported(lambda _code: True)]

    def _supported(self, wanted: Callable[[int], bool]) -> list[bytes]:
        device = self.mirror.device
        version = 0 if device is None else device.protocol_version
        return [command for command, since in _SETTINGS if since <= version and wanted(command[0])]

    def _look_whether_known(self) -> None:
        if not self._is_known:
            self._is_known = self._has_tried_contacts and not any(
                command[0] in _FIRST for command in self._queue
            )
