"""Who speaks to the device next, and whose answer is whose. No I/O, the clock handed in.

The protocol has no request numbers: the device handles one command at a time and answers in order.
So exactly one command is outstanding; beside it only a contact list may be on its way, because the
firmware answers commands between the contacts that it sends. What arrives and answers nothing is
absorbed: firmware with several interfaces sends every response to all of them.

A command that is not answered leaves the line in an unknown state. Then nothing is sent until the
device has been quiet, ``APP_START`` is sent until its ``SELF_INFO`` shows that all before it is
over (the device answers in order, and this command also ends a contact list), and where even that
stays unanswered the link must be opened anew. A command that was sent is never sent again.
"""

from collections import OrderedDict, deque
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Final

from .codes import PUSH_BIT, Cmd, Push, Resp
from .commands import COMMANDS, INBOX_CODES, Slot, is_about_another, is_self_telemetry
from .contacts import MAX_CONTACTS
from .frames import FrameError, Sent
from .jobs import Action, Done, Job, Outcome, Overheard, Pushed, ResetLink, StreamBegun, Write
from .leases import Leases
from .mirror import READ_SELF

COMMAND_TIMEOUT: Final = 5.0
"""The firmware's document tells apps to wait so long for a response."""
STREAM_TIMEOUT: Final = 5.0
"""Longest gap between two contacts of a list."""
QUIET_PERIOD: Final = 1.5
QUIET_LIMIT: Final = 10.0
"""A device that never gets quiet, because of debug text or another app, is asked all the same."""
RESYNC_ATTEMPTS: Final = 2
_LIST_FRAMES: Final = 2
"""Frames of a contact list that are no contacts: its begin and its end."""
MAX_QUEUED: Final = 16
"""Commands that may wait for each client: apps pipeline eight at most."""

_NOT_INBOX: Final = frozenset(Resp) - COMMANDS[Cmd.SYNC_NEXT_MESSAGE].replies
_MUST_BE_ALONE: Final = frozenset({Cmd.APP_START, Cmd.GET_CONTACTS, Cmd.GET_CONTACT_BY_KEY})
"""Not to be sent while a contact list is on its way: they end it or cannot be told from it."""


@dataclass(slots=True)
class CommanderCounters:
    """What went wrong, or was not asked for."""

    absorbed: int = 0
    """Responses that answered nothing."""
    timeouts: int = 0
    resyncs: int = 0
    queue_full: int = 0
    expired: int = 0


class Commander:
    """The one that speaks to the device. Every method returns what has to be done, in order."""

    def __init__(self, public_key: bytes | None = None) -> None:
        """Start with no link.

        Args:
            public_key: The device's own key, so that its own telemetry is recognised.
        """
        self.public_key = public_key
        self.counters = CommanderCounters()
        self.leases = Leases()
        self._queues: OrderedDict[Hashable, deque[Job]] = OrderedDict()
        self._is_up = False
        self._current: Job | None = None
        self._setting_scope = False
        self._deadline = 0.0
        self._stream: Job | None = None
        self._stream_deadline = 0.0
        self._scope: bytes | None = None
        self._quiet_until: float | None = None
        self._quiet_limit = 0.0
        self._resync_deadline: float | None = None
        self._resyncs_left = 0

    @property
    def is_idle(self) -> bool:
        """Whether nothing is outstanding or waits."""
        return self._current is None and self._stream is None and not self._queues

    @property
    def queued(self) -> int:
        """How many jobs wait for their turn."""
        return sum(len(queue) for queue in self._queues.values())

    def link_up(self, now: float) -> list[Action]:
        """A connection stands; what waits may be sent."""
        self._is_up = True
        self._scope = None
        return self._next(now)

    def link_down(self, now: float) -> list[Action]:
        """The connection is gone, and with it every answer. What waits goes on waiting."""
        actions: list[Action] = []
        self._is_up = False
        self._quiet_until = self._resync_deadline = None
        stream, self._stream = self._stream, None
        current, self._current = self._current, None
        for job in (stream, current):
            if job is not None:
                # While the scope was being set, the command itself had not been sent.
                unsent = job is current and self._setting_scope
                actions += self._end(job, Outcome.EXPIRED if unsent else Outcome.LOST)
        self._setting_scope = False
        self.leases.clear()
        return actions + self._expire(now)

    def submit(self, job: Job, now: float) -> list[Action]:
        """Take a job over; it ends in exactly one `Done`."""
        return self._enqueue(job) or self._next(now)

    def drop_owner(self, owner: Hashable) -> list[Action]:
        """Forget what an owner who is gone is waiting for.

        What only asks ends unsent. What sends or changes something stays: a device would have
        carried it out by now, whether or not its app is still there. All who are gone are one
        owner to the others: with one turn, and so many commands.
        """
        self.leases.drop_owner(owner)
        if self._current is not None and self._current.owner == owner:
            self._current.owner = None
        actions: list[Action] = []
        for job in self._queues.pop(owner, ()):
            if job.command.only_asks:
                actions += self._end(job, Outcome.EXPIRED)
            else:
                job.owner = None
                actions += self._enqueue(job)
        return actions

    def withdraw(self, owner: Hashable) -> list[Action]:
        """End all that an owner has waiting, unsent: it will want that anew."""
        jobs = self._queues.pop(owner, ())
        return [action for job in jobs for action in self._end(job, Outcome.EXPIRED)]

    def frame_received(self, frame: bytes, now: float) -> list[Action]:
        """Take a frame from the device."""
        if self._quiet_until is not None:
            self._quiet_until = min(now + QUIET_PERIOD, self._quiet_limit)
        if frame[0] >= PUSH_BIT:
            return self._pushed(frame, now)
        if self._stream is not None and frame[0] in (Resp.CONTACT, Resp.END_OF_CONTACTS):
            return self._streamed(frame, now)
        if self._resync_deadline is not None and frame[0] == Resp.SELF_INFO:
            self._resync_deadline = None
            return self._next(now)
        if self._current is None or not _answers(self._current, frame, self._setting_scope):
            if frame[0] in INBOX_CODES:
                return [Overheard(frame)]
            self.counters.absorbed += 1
            return []
        return self._answered(frame, now)

    def tick(self, now: float) -> list[Action]:
        """Do what the clock demands."""
        actions = self._expire(now)
        if self._stream is not None and now >= self._stream_deadline:
            stream, self._stream = self._stream, None
            actions += self._timed_out(stream, now)
        if self._current is not None and now >= self._deadline:
            current, self._current = self._current, None
            unsent, self._setting_scope = self._setting_scope, False
            if unsent:
                self._scope = None
            actions += self._timed_out(current, now, unsent=unsent)
        if self._resync_deadline is not None and now >= self._resync_deadline:
            self._resync_deadline = None
            if self._resyncs_left == 0:
                self._is_up = False
                return [*actions, ResetLink()]
            actions += self._resync(now)
        if self._quiet_until is not None and now >= self._quiet_until:
            if self._current is not None:
                # A list has failed while another command is still unanswered.
                self._quiet_until = self._deadline
            else:
                self._quiet_until = None
                self._resyncs_left = RESYNC_ATTEMPTS
                actions += self._resync(now)
        return actions + self._next(now)

    def next_deadline(self, now: float) -> float | None:
        """Return when `tick` must be called at the latest; None while nothing is awaited."""
        moments = [job.expires for queue in self._queues.values() for job in queue]
        if self._queues:
            moments += [at for at in self.leases.busy_until if at > now]
        if self._current is not None:
            moments.append(self._deadline)
        if self._stream is not None:
            moments.append(self._stream_deadline)
        moments += [at for at in (self._quiet_until, self._resync_deadline) if at is not None]
        return min(moments, default=None)

    def _enqueue(self, job: Job) -> list[Action]:
        """Put a job behind those of its owner, or end it where there are too many."""
        queue = self._queues.setdefault(job.owner, deque())
        if len(queue) >= MAX_QUEUED:
            self.counters.queue_full += 1
            return self._end(job, Outcome.QUEUE_FULL)
        queue.append(job)
        return []

    def _next(self, now: float) -> list[Action]:
        """Send the next job that may be sent, taking the owners in turn."""
        waits = self._quiet_until is not None or self._resync_deadline is not None
        if not self._is_up or waits or self._current is not None:
            return []
        for owner in tuple(self._queues):
            queue = self._queues[owner]
            if not self._may_start(queue[0], now):
                continue
            job = queue.popleft()
            if queue:
                self._queues.move_to_end(owner)
            else:
                del self._queues[owner]
            return self._start(job, now)
        return []

    def _may_start(self, job: Job, now: float) -> bool:
        if self._stream is not None and job.frame[0] in _MUST_BE_ALONE:
            return False
        return job.slot is None or self.leases.may_take(
            job.slot, job.owner, now, background=job.is_background
        )

    def _start(self, job: Job, now: float) -> list[Action]:
        if not job.command.replies:
            # A reboot: the device will be away, and has to be found again.
            self._be_quiet(now)
            return [Write(job.frame), *self._end(job, Outcome.ANSWERED)]
        self._current = job
        self._deadline = now + COMMAND_TIMEOUT
        if job.scope is not None and job.scope != self._scope:
            self._setting_scope = True
            return [Write(job.scope)]
        return [Write(job.frame)]

    def _answered(self, frame: bytes, now: float) -> list[Action]:
        job = self._current
        assert job is not None
        if self._setting_scope:
            self._setting_scope = False
            if frame[0] == Resp.OK:
                self._scope = job.scope
                return self._start(job, now)
            self._current = None
            job.replies.append(frame)
            return [*self._end(job, Outcome.ANSWERED), *self._next(now)]
        job.replies.append(frame)
        self._current = None
        if frame[0] == Resp.CONTACTS_START:
            self._stream, self._stream_deadline = job, now + STREAM_TIMEOUT
            return [StreamBegun(), *self._next(now)]
        if job.frame[0] == Cmd.SET_FLOOD_SCOPE_KEY:
            self._scope = job.frame if frame[0] == Resp.OK else None
        self._note_sent(job, frame, now)
        return [*self._end(job, Outcome.ANSWERED), *self._next(now)]

    def _note_sent(self, job: Job, frame: bytes, now: float) -> None:
        """Remember who waits for the acknowledgement or the push that follows a response."""
        if job.slot is Slot.SIGN:
            self.leases.signed(job.owner, job.frame[0], frame, now)
            return
        if frame[0] != Resp.SENT:
            return
        try:
            sent = Sent.parse(frame)
        except FrameError:
            return
        if job.slot is not None:
            self.leases.take(
                job.slot,
                job.owner,
                job.key or sent.tag,
                now,
                timeout=sent.timeout,
                background=job.is_background,
            )
        elif job.frame[0] == Cmd.SEND_TXT_MSG and any(sent.tag) and job.owner is not None:
            self.leases.expect_ack(sent.tag, job.owner)

    def _streamed(self, frame: bytes, now: float) -> list[Action]:
        stream = self._stream
        assert stream is not None
        stream.replies.append(frame)
        if len(stream.replies) > MAX_CONTACTS + _LIST_FRAMES:
            self._stream = None
            return self._timed_out(stream, now)
        self._stream_deadline = now + STREAM_TIMEOUT
        if frame[0] == Resp.CONTACT:
            return []
        self._stream = None
        return [*self._end(stream, Outcome.ANSWERED), *self._next(now)]

    def _pushed(self, frame: bytes, now: float) -> list[Action]:
        if (
            self._current is not None
            and is_self_telemetry(self._current.frame)
            and frame[0] == Push.TELEMETRY_RESPONSE
            and self.public_key is not None
            and frame[2:8] == self.public_key[:6]
        ):
            return self._answered(frame, now)
        owners = self.leases.owners_of(frame)
        # A pending request that was answered makes room for the next one.
        return [Pushed(frame, owners), *self._next(now)]

    def _timed_out(self, job: Job, now: float, *, unsent: bool = False) -> list[Action]:
        self.counters.timeouts += 1
        self._be_quiet(now)
        return self._end(job, Outcome.EXPIRED if unsent else Outcome.TIMEOUT)

    def _be_quiet(self, now: float) -> None:
        """Send nothing until the device is quiet and has been found to answer."""
        self._quiet_until = now + QUIET_PERIOD
        self._quiet_limit = now + QUIET_LIMIT

    def _resync(self, now: float) -> list[Action]:
        if self._stream is not None:
            # It would be ended by the command, so it is ended here, with what has arrived.
            stream, self._stream = self._stream, None
            actions = self._end(stream, Outcome.TIMEOUT)
        else:
            actions = []
        self.counters.resyncs += 1
        self._resyncs_left -= 1
        self._resync_deadline = now + COMMAND_TIMEOUT
        return [*actions, Write(READ_SELF)]

    def _expire(self, now: float) -> list[Action]:
        """End the jobs that waited too long."""
        actions: list[Action] = []
        for job in tuple(self._expired(now)):
            queue = self._queues[job.owner]
            blocked = self._is_up and job is queue[0] and not self._may_start(job, now)
            queue.remove(job)
            if not queue:
                del self._queues[job.owner]
            self.counters.expired += 1
            actions += self._end(job, Outcome.BUSY if blocked else Outcome.EXPIRED)
        return actions

    def _expired(self, now: float) -> Iterator[Job]:
        for queue in self._queues.values():
            for job in queue:
                if now >= job.expires:
                    yield job

    @staticmethod
    def _end(job: Job, outcome: Outcome) -> list[Action]:
        job.outcome = outcome
        return [Done(job)]


def _answers(job: Job, frame: bytes, setting_scope: bool) -> bool:
    """Return whether a response is one that can end this job, or begin its list."""
    code = frame[0]
    if code == Resp.ERR:
        return True
    if setting_scope:
        return code == Resp.OK
    if job.frame[0] == Cmd.SYNC_NEXT_MESSAGE:
        # Newer firmware may have kinds of message that are not known here.
        return code not in _NOT_INBOX
    if job.frame[0] == Cmd.GET_CONTACTS:
        return code == Resp.CONTACTS_START
    if is_self_telemetry(job.frame):
        return False
    return code in job.command.replies and not is_about_another(job.frame, frame)
