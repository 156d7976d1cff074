"""Connects the apps of a virtual node with their radio and with each other."""

from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator
import time
from typing import Final, cast, override

from ..mesh.handler import Worth
from ..mesh.model import Origin
from ..mesh.virtual_node import VirtualNode
from .codes import Cmd, Err, Push, err_frame
from .framing import to_app
from .inbox import Inbox
from .jobs import Job, Outcome
from .mirror import Mirror
from .options import MeshCoreVirtualNodeOptions
from .policy import Forward, Lease, Rights
from .texts import Texts, is_text
from .virtual_node import Desk, Phone, worth_of

PATIENCE: Final = 4.0
"""Seconds that an app's command may wait for its turn: apps give up after five."""
ADVERT_LIMIT: Final = 6
ADVERT_WINDOW: Final = 60.0
"""So many adverts in so many seconds are enough for all apps together: a flooded one is repeated by
the whole mesh."""

_ERRORS: Final = {
    Outcome.QUEUE_FULL: Err.TABLE_FULL,
    Outcome.EXPIRED: Err.BAD_STATE,
    Outcome.BUSY: Err.BAD_STATE,
    Outcome.TIMEOUT: Err.BAD_STATE,
    Outcome.LOST: Err.BAD_STATE,
}
_SCOPES_SINCE: Final = 8


class Switchboard(Desk):
    """Knows all apps, and which of them a frame of the radio is for."""

    def __init__(self, mirror: Mirror, inbox: Inbox) -> None:
        """Prepare a switchboard without apps.

        Args:
            mirror: What is known of the radio.
            inbox: The messages of the radio.
        """
        self.mirror = mirror
        self.inbox = inbox
        self.refusals: Counter[str] = Counter()
        self.virtual_node: VirtualNode | None = None
        self.texts: Texts | None = None
        self.send: Callable[[Job], None] | None = None
        """Hands a job to the radio."""
        self.drop_owner: Callable[[str], None] | None = None
        """Makes the radio forget who is gone."""
        self._readers: dict[str, Phone] = {}
        self._numbered: dict[str, str] = {}
        """Of those names the ones with a number, and what stands before it."""
        self._news: list[bytes] = []
        self._news_worth = Worth.ROUTINE
        self._adverts: deque[float] = deque(maxlen=ADVERT_LIMIT)

    @property
    def options(self) -> MeshCoreVirtualNodeOptions:
        """How the virtual node serves."""
        assert self.virtual_node is not None
        options = self.virtual_node.options
        assert isinstance(options, MeshCoreVirtualNodeOptions)
        return options

    def phones(self) -> Iterator[Phone]:
        """Go through all connected apps, the longest connected first."""
        self.tell()
        return iter(self._phones)

    def phone(self, name: object) -> Phone | None:
        """Return a connected app."""
        self.tell()
        if self.virtual_node is None or not isinstance(name, str):
            return None
        client = self.virtual_node.clients.get(name)
        handler = None if client is None else client.handler
        return handler if isinstance(handler, Phone) else None

    @property
    def _phones(self) -> tuple[Phone, ...]:
        if self.virtual_node is None:
            return ()
        # It has no others: they are made for it where this switchboard is.
        return cast("tuple[Phone, ...]", self.virtual_node.handlers)

    # What apps ask

    @override
    def rights(self, phone: Phone) -> Rights:
        options, is_admin = self.options, phone.client.is_admin
        return Rights(
            admin=is_admin,
            destructive=is_admin and options.allow_destructive_commands,
            contacts=options.share_contacts,
            signing=options.allow_signing,
        )

    @override
    def submit(self, phone: Phone, frame: bytes, decision: Forward | Lease) -> None:
        if frame[0] == Cmd.SEND_SELF_ADVERT and not self._may_advertise():
            self.count_refusal("too_many_adverts")
            phone.answered([err_frame(Err.BAD_STATE)])
            return
        job = Job(
            frame,
            phone.name,
            time.monotonic() + PATIENCE,
            slot=decision.slot if isinstance(decision, Lease) else None,
            key=decision.key if isinstance(decision, Lease) else b"",
            scope=phone.scope if decision.command.is_scoped and self.has_scopes else None,
        )
        if self.texts is not None and is_text(frame):
            label = phone.label or phone.name
            self.texts.began(job, Origin.PHONE, label, phone.open_inbox())
        assert self.send is not None
        self.send(job)

    @property
    def has_scopes(self) -> bool:
        """Whether the radio knows flood scopes."""
        device = self.mirror.device
        return device is not None and device.protocol_version >= _SCOPES_SINCE

    @property
    @override
    def keeps_missed(self) -> bool:
        return self.options.keep_missed_messages

    @property
    @override
    def readers(self) -> Collection[str]:
        return self._readers.keys()

    @override
    def reader_name(self, phone: Phone) -> str:
        name = base = f"{phone.client.address}/{phone.label}"
        other = self._readers.get(base)
        if other is not None and other.client.is_overdue:
            aside = f"{base}#{other.name}"
            other.hand_over(aside)
            self._readers[aside] = self._readers.pop(base)
        number = 1
        while name in self._readers:
            number += 1
            name = f"{base}#{number}"
        self._readers[name] = phone
        if name != base:
            self._numbered[name] = base
        return name

    @override
    def device_time(self) -> int:
        return self.mirror.device_time(time.time())

    @override
    def wall_time(self) -> float:
        return time.time()

    @override
    def gone(self, phone: Phone) -> None:
        if phone.reader is not None:
            self._leave_name(phone.reader)
        if self.drop_owner is not None:
            self.drop_owner(phone.name)

    @override
    def count_refusal(self, reason: str) -> None:
        self.refusals[reason] += 1

    # What the radio says

    def done(self, job: Job) -> None:
        """Hand what became of a command to the app that sent it."""
        phone = self.phone(job.owner)
        if phone is None:
            return
        if job.outcome is Outcome.ANSWERED:
            phone.answered(job.replies)
            return
        assert job.outcome is not None
        self.count_refusal(job.outcome.value)
        phone.answered([err_frame(_ERRORS[job.outcome])])

    def push(self, frame: bytes, owners: tuple[object, ...] | None) -> None:
        """Hand what the radio sent by itself to those whom it concerns.

        What is for all of them is collected until `tell`: a radio may say much at once.
        """
        if owners is not None:
            for owner in owners:
                phone = self.phone(owner)
                if phone is not None:
                    phone.deliver(to_app(frame), worth_of(frame))
            return
        if frame[0] == Push.LOG_RX_DATA and not self.options.raw_reception:
            return
        worth = worth_of(frame)
        if worth is not self._news_worth:
            self.tell()
            self._news_worth = worth
        self._news.append(to_app(frame))

    def tell(self) -> None:
        """Hand all apps what the radio has sent to all of them, before they get anything else."""
        if self._news:
            data = b"".join(self._news)
            self._news.clear()
            for phone in self._phones:
                phone.deliver(data, self._news_worth)

    def messages_wait(self) -> None:
        """Tell the apps whose inbox is not empty."""
        for phone in self.phones():
            if phone.has_unread:
                phone.message_waits()

    def mirror_changed(self) -> None:
        """Let apps that had to wait be answered."""
        for phone in self.phones():
            phone.mirror_changed()

    def _leave_name(self, left: str) -> None:
        """Let the plain name, by which a lone app is known again, be that of who is there.

        An app that came back before its old connection was known to be dead goes by a number until
        then. Two that are really two keep their places all the same, by exchanged names.
        """
        self._readers.pop(left, None)
        plain = self._numbered.pop(left, None)
        if left.rpartition("#")[2].startswith("vn-"):
            # The name of one whose place a successor has taken: nobody comes back by it.
            self.inbox.forget(left)
            return
        if plain is not None:
            holder = self._readers.get(plain)
            if holder is not None and holder.client.is_overdue:
                self._numbered[left] = plain
                self._rename(holder, left)
            return
        heir = next((name for name, plain in self._numbered.items() if plain == left), None)
        if heir is not None:
            del self._numbered[heir]
            self._rename(self._readers[heir], left)

    def _rename(self, phone: Phone, name: str) -> None:
        """Let an app read on by a name that is free; who comes by its present one has that place.

        Args:
            phone: An app that reads the inbox.
            name: Of no app that is connected.
        """
        assert phone.reader is not None
        self.inbox.swap(phone.reader, name)
        self._readers[name] = self._readers.pop(phone.reader)
        phone.reader = name

    def _may_advertise(self) -> bool:
        now = time.monotonic()
        adverts = self._adverts
        if len(adverts) == ADVERT_LIMIT and now - adverts[0] < ADVERT_WINDOW:
            return False
        adverts.append(now)
        return True
