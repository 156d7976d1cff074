"""The one conversation with the radio: the commander with a link and a clock."""

import asyncio
from collections.abc import Hashable
import logging
import time
from typing import Final, Protocol

from ..mesh.link import Link
from ..mesh.model import LinkStatus
from ..mesh.transport import Endpoint
from .codes import Cmd, Push, Resp
from .commander import Commander
from .frames import FrameError
from .framing import DeviceStreamDecoder, to_device
from .inbox import is_message
from .jobs import Action, Done, Job, Outcome, Overheard, Pushed, ResetLink, StreamBegun, Write
from .mirror import Mirror
from .reading import READ_TIME, Reader

_LOGGER = logging.getLogger(__name__)

READER: Final = "reader"
COLLECTOR: Final = "collector"
"""Owners of our own commands: what is read for the mirror, and messages that are collected."""

COLLECT_INTERVAL: Final = 30.0
"""Seconds between two looks into the radio's queue. They also show that the radio is alive."""
FIGURES_INTERVAL: Final = 300.0
CLOCK_INTERVAL: Final = 3600.0
_OWN_PATIENCE: Final = 60.0
_TICK: Final = 5.0


class RadioListener(Protocol):
    """Who has to know what the radio says."""

    def link_status(self, status: LinkStatus) -> None:
        """The link changed its state."""

    def identity_read(self) -> bool:
        """The radio said who it is; returns whether it is the one that is meant."""

    def mirror_changed(self) -> None:
        """The mirror may know more, or something else."""

    def is_read(self) -> None:
        """Everything has been read, and messages reach the radio."""

    def message(self, frame: bytes) -> None:
        """An item was in the radio's queue."""

    def push(self, frame: bytes, owners: tuple[Hashable, ...] | None) -> None:
        """The radio sent something by itself; None in place of owners means everyone."""

    def done(self, job: Job) -> None:
        """A job that was submitted has ended."""

    def settled(self) -> None:
        """Nothing more follows from what the radio has said so far."""


class Radio:
    """Holds the link, keeps the mirror, empties the radio's queue; an `Upstream` of the link."""

    def __init__(
        self, endpoint: Endpoint, mirror: Mirror, listener: RadioListener, *, name: str
    ) -> None:
        """Prepare a conversation that is not begun.

        Args:
            endpoint: Where the radio is.
            mirror: Takes over what the radio tells of itself.
            listener: Who has to know the rest.
            name: What log lines call the source.
        """
        self.commander = Commander()
        self.decoder = DeviceStreamDecoder()
        self.link = Link(endpoint, self, name=name, on_status=listener.link_status)
        self._mirror = mirror
        self._listener = listener
        self._name = name
        self._reader = Reader(mirror)
        self._reading: Job | None = None
        self._collecting: Job | None = None
        self._collect_again = False
        self._collect_at = self._figures_at = self._clock_at = 0.0
        self._held_pushes: dict[bytes, list[Pushed]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._alarm_at = 0.0
        self._is_open = False
        self._is_ready = False
        self.malformed_frames = 0

    @property
    def is_ready(self) -> bool:
        """Whether the radio has been read and takes messages."""
        return self._is_ready

    def submit(self, job: Job) -> None:
        """Have a command sent when its turn comes; the listener is told what came of it."""
        self._follow(self.commander.submit(job, time.monotonic()))

    def drop_owner(self, owner: Hashable) -> None:
        """Forget what an owner who is gone is waiting for."""
        self._do(self.commander.drop_owner(owner))

    def stop(self) -> None:
        """Leave no timer behind."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # What the link says

    def link_opened(self, now: float) -> None:
        """Read the radio from the beginning."""
        self._is_open = True
        self.decoder.reset()
        self._reader.begin()
        self._collect_at = now
        self._figures_at = now + FIGURES_INTERVAL
        self._clock_at = now + CLOCK_INTERVAL
        self._follow(self.commander.link_up(now))

    def link_data(self, data: bytes, now: float) -> None:
        """Take bytes from the radio."""
        for frame in self.decoder.feed(data):
            self._do(self.commander.frame_received(frame, now))
        self._schedule()
        self._listener.settled()

    def link_closed(self, now: float) -> None:
        """The connection is gone."""
        self._is_open = self._is_ready = False
        self._follow(self.commander.link_down(now))
        self._reader.end()
        self._reading = self._collecting = None
        for owner in (READER, COLLECTOR):
            # All of it: nobody would keep the message that a forgotten look into the queue brings.
            self.commander.withdraw(owner)
        for key in tuple(self._held_pushes):
            self._release(key)
        self._listener.settled()

    def link_tick(self, now: float) -> float:
        """Do what is due."""
        if self._reader.is_known:
            if now >= self._collect_at:
                self._collect()
            if now >= self._figures_at:
                self._figures_at = now + FIGURES_INTERVAL
                self._reader.add_figures()
            if now >= self._clock_at:
                self._clock_at = now + CLOCK_INTERVAL
                self._reader.add((READ_TIME,))
        self._follow(self.commander.tick(now))
        self._listener.settled()
        return _TICK

    def link_farewell(self) -> bytes:
        """Say nothing: the protocol knows no farewell."""
        return b""

    # What the commander says

    def _follow(self, actions: list[Action]) -> None:
        """Do what the commander wants and what follows from that, and wait for what is due next."""
        self._do(actions)
        self._schedule()

    def _do(self, actions: list[Action]) -> None:
        for action in actions:
            try:
                self._act(action)
            except Exception:
                # One frame must never cost the link, and with it everybody's connection.
                _LOGGER.exception("%s: error in handling a frame of the radio", self._name)
        self._read_on()

    def _act(self, action: Action) -> None:
        match action:
            case Write(frame):
                self.link.write(to_device(frame))
            case Pushed(frame):
                self._pushed(action)
            case Overheard(frame):
                self._message(frame)
            case StreamBegun():
                self._mirror.contacts.begin_read()
            case ResetLink():
                self.link.drop("no answer")
            case Done(job) if job is self._reading:
                self._read(job)
            case Done(job) if job is self._collecting:
                self._collected(job)
            case Done(job):
                self._done(job)

    def _done(self, job: Job) -> None:
        """Follow what a client's command told or changed, then tell the client."""
        if job.outcome is Outcome.ANSWERED and job.replies:
            try:
                self._reader.add(self._mirror.learn(job.frame, job.replies[-1]))
            except FrameError:
                self.malformed_frames += 1
            self._listener.mirror_changed()
        self._listener.done(job)

    def _read(self, job: Job) -> None:
        self._reading = None
        if not self._is_open:
            return
        step = self._reader.done(job, time.time(), time.monotonic())
        self.malformed_frames += step.is_malformed
        if step.failed is not None:
            self.link.drop(step.failed)
            return
        if job.frame[0] == Cmd.APP_START and self._mirror.public_key is not None:
            self.commander.public_key = self._mirror.public_key
            if not self._listener.identity_read():
                # The new radio's contacts and channels must not be mixed with the old one's.
                self._reader.begin()
                return
        if job.frame[0] == Cmd.GET_CONTACT_BY_KEY and not step.was_retried:
            self._listener.mirror_changed()
            self._release(job.frame[1:33])
        else:
            self._listener.mirror_changed()
        if self._reader.is_known and not self._is_ready:
            self._is_ready = True
            self.link.mark_ready()
            self._listener.is_read()
            self._collect()

    def _read_on(self) -> None:
        """Send the next reading, if none is on its way."""
        if self._reading is not None or not self._is_open:
            return
        now = time.monotonic()
        command = self._reader.next(now)
        if command is not None:
            self._reading = Job(command, READER, now + _OWN_PATIENCE, is_background=True)
            self._follow(self.commander.submit(self._reading, now))

    def _pushed(self, push: Pushed) -> None:
        code = push.frame[0]
        if code == Push.MSG_WAITING:
            self._collect()
            return
        try:
            self._reader.add(self._mirror.heard(push.frame))
        except FrameError:
            # It names nobody, so there is nothing to tell of it.
            self.malformed_frames += 1
            return
        if code in (Push.ADVERT, Push.PATH_UPDATED) and self._mirror.is_wanted(push.frame[1:33]):
            # Clients answer it by asking for the contact, so it is read before they are told.
            held = self._held_pushes.setdefault(push.frame[1:33], [])
            if push not in held:
                held.append(push)
            return
        if code in (Push.CONTACT_DELETED, Push.CONTACTS_FULL):
            self._listener.mirror_changed()
        self._listener.push(push.frame, push.owners)

    def _release(self, key: bytes) -> None:
        for push in self._held_pushes.pop(key, ()):
            self._listener.push(push.frame, push.owners)

    # The radio's queue

    def _collect(self) -> None:
        """Fetch what is in the radio's queue, until it is empty."""
        now = time.monotonic()
        self._collect_at = now + COLLECT_INTERVAL
        if self._collecting is not None or not self._is_open:
            self._collect_again = True
            return
        self._collect_again = False
        job = Job(bytes([Cmd.SYNC_NEXT_MESSAGE]), COLLECTOR, now + _OWN_PATIENCE)
        self._collecting = job
        self._follow(self.commander.submit(job, now))

    def _collected(self, job: Job) -> None:
        self._collecting = None
        if job.outcome is not Outcome.ANSWERED:
            return
        frame = job.replies[-1]
        if is_message(frame):
            self._message(frame)
            self._collect()
        elif self._collect_again and frame[0] == Resp.NO_MORE_MESSAGES:
            self._collect()

    def _message(self, frame: bytes) -> None:
        self._listener.message(frame)
        self._reader.add(self._mirror.received(frame))

    def _schedule(self) -> None:
        """Set the alarm for the next thing that the clock demands, or let it come too early.

        Nearly every frame moves that further into the future.
        """
        now = time.monotonic()
        moments = [
            moment
            for moment in (self.commander.next_deadline(now), self._reader.contact_retry_due())
            if moment is not None
        ]
        if not moments or (self._timer is not None and self._alarm_at <= min(moments)):
            return
        self.stop()
        self._alarm_at = min(moments)
        delay = max(0.0, self._alarm_at - now)
        self._timer = asyncio.get_running_loop().call_later(delay, self._alarm)

    def _alarm(self) -> None:
        self._timer = None
        self._follow(self.commander.tick(time.monotonic()))
        self._listener.settled()
