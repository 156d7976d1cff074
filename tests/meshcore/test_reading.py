"""What is read from the device, in which order, and what happens when it is not answered."""

from custom_components.meshmonitor.meshcore.codes import Cmd
from custom_components.meshmonitor.meshcore.frames import Contact
from custom_components.meshmonitor.meshcore.jobs import Job, Outcome
from custom_components.meshmonitor.meshcore.mirror import READ_DEVICE, READ_SELF, Mirror
from custom_components.meshmonitor.meshcore.reading import (
    ATTEMPTS,
    CONTACT_RETRY,
    READ_CONTACTS,
    READ_TIME,
    Reader,
    ReadStep,
)

from .test_policy import full_mirror

FULL = full_mirror()
WALL = 1_800_000_000.0


def ended(command: bytes, *replies: bytes, outcome: Outcome = Outcome.ANSWERED) -> Job:
    """Return a reading that has ended."""
    return Job(command, "reader", 0.0, replies=list(replies), outcome=outcome)


def answer(reader: Reader, *replies: bytes, now: float = 0.0) -> ReadStep:
    """Let the next reading be answered like this."""
    command = reader.next(now)
    assert command is not None
    return reader.done(ended(command, *replies), WALL, now)


def begun() -> Reader:
    """Return a reader that knows identity and time."""
    assert FULL.device_info is not None
    assert FULL.self_info is not None
    reader = Reader(Mirror())
    reader.begin()
    for reply in (FULL.device_info, FULL.self_info):
        assert answer(reader, reply) == ReadStep()
    return reader


def rest(reader: Reader) -> list[bytes]:
    """Return what is still to be read."""
    return list(reader._queue)


def test_the_version_is_told_first_and_the_clock_before_the_lists() -> None:
    """Messages take the form of the version that was told before they came."""
    reader = Reader(Mirror())
    reader.begin()
    assert rest(reader) == [READ_DEVICE, READ_SELF, READ_TIME]
    reader = begun()
    assert rest(reader)[:3] == [READ_TIME, READ_CONTACTS, b"\x1f\x00"]
    answer(reader, b"\x09" + bytes(4))
    assert rest(reader)[0] == b"\x06" + int(WALL).to_bytes(4, "little")
    assert rest(reader)[-1] == b"\x40"


def test_a_clock_that_is_ahead_is_left_alone() -> None:
    """The device would refuse, and other nodes take what it sends for old."""
    reader = begun()
    answer(reader, b"\x09" + int(WALL + 500).to_bytes(4, "little"))
    assert not any(command[0] == Cmd.SET_DEVICE_TIME for command in rest(reader))
    assert reader.mirror.device_time(WALL) == int(WALL + 500)


def test_a_refused_clock_is_not_taken_for_set() -> None:
    """Its distance stays as it was."""
    reader = begun()
    answer(reader, b"\x09" + (1000).to_bytes(4, "little"))
    answer(reader, b"\x01\x06")
    assert reader.mirror.device_time(WALL) == 1000


def test_the_device_is_known_after_contacts_and_channels() -> None:
    """Settings may come later."""
    reader = begun()
    answer(reader, b"\x09" + int(WALL).to_bytes(4, "little"))
    answer(reader, b"\x02" + bytes(4), b"\x04" + bytes(4))
    states = []
    for index in range(40):
        states.append(reader.is_known)
        answer(reader, bytes((18, index)) + bytes(48))
    states.append(reader.is_known)
    assert states == [False] * 40 + [True]
    assert b"\x14" in rest(reader)
    reader.end()
    assert (reader.is_known, reader.next(0)) == (False, None)


def test_older_firmware_is_not_asked_for_what_it_does_not_have() -> None:
    """By its own version."""
    assert FULL.device_info is not None
    assert FULL.self_info is not None
    reader = Reader(Mirror())
    reader.begin()
    answer(reader, FULL.device_info[:1] + b"\x05" + FULL.device_info[2:80])
    answer(reader, FULL.self_info)
    asked = {command[0] for command in rest(reader)}
    assert Cmd.GET_CUSTOM_VARS in asked
    assert not asked & {Cmd.GET_STATS, Cmd.GET_AUTOADD_CONFIG, Cmd.GET_DEFAULT_FLOOD_SCOPE}


def test_what_is_not_answered_is_tried_again() -> None:
    """A few times; then it is left, unless nothing goes without it."""
    reader = begun()
    for attempt in range(ATTEMPTS):
        assert reader.next(0) == READ_TIME
        step = reader.done(ended(READ_TIME, outcome=Outcome.TIMEOUT), WALL, 0)
        assert step.was_retried is (attempt + 1 < ATTEMPTS)
    assert reader.next(0) == READ_CONTACTS
    reader.begin()
    for _ in range(ATTEMPTS):
        step = reader.done(ended(READ_DEVICE, outcome=Outcome.TIMEOUT), WALL, 0)
    assert step.failed == "no answer"


def test_a_lost_link_is_no_failed_attempt() -> None:
    """All is read anew with the next one."""
    reader = begun()
    assert reader.done(ended(READ_TIME, outcome=Outcome.LOST), WALL, 0) == ReadStep()


def test_a_device_that_refuses_to_say_who_it_is() -> None:
    """Cannot be used."""
    reader = Reader(Mirror())
    reader.begin()
    assert answer(reader, b"\x01\x01").failed is not None


def test_an_unreadable_answer_counts_as_none() -> None:
    """And is counted."""
    reader = Reader(Mirror())
    reader.begin()
    step = answer(reader, b"\x0d\x0d")
    assert step.is_malformed
    assert step.was_retried
    assert reader.next(0) == READ_DEVICE


def test_a_partial_list_is_read_again_later_and_later() -> None:
    """A busy radio is not helped by being asked without a pause."""
    reader = Reader(full_mirror())
    contact = Contact(public_key=b"\x01" * 32, adv_type=1, name="x").build()
    now, waits = 0.0, []
    reader.add((READ_CONTACTS,))
    for _ in range(3):
        reader.done(ended(READ_CONTACTS, b"\x02\x05\0\0\0", contact), WALL, now)
        assert reader.next(now) is None
        due = reader.contact_retry_due()
        assert due is not None
        waits.append(due - now)
        now = due
        assert reader.next(now) == READ_CONTACTS
    assert waits == [CONTACT_RETRY, CONTACT_RETRY * 2, CONTACT_RETRY * 4]


def test_a_busy_device_is_asked_for_its_list_again() -> None:
    """An app at another interface may be reading it."""
    reader = Reader(full_mirror())
    reader.add((READ_CONTACTS,))
    reader.done(ended(READ_CONTACTS, b"\x01\x04"), WALL, 0.0)
    assert reader.contact_retry_due() == CONTACT_RETRY


def test_a_contact_that_could_not_be_read_may_be_wanted_again() -> None:
    """By the next push about it."""
    reader = Reader(full_mirror())
    key = b"\x09" * 32
    (command,) = reader.mirror.heard(b"\x80" + key)
    for _ in range(ATTEMPTS):
        reader.add((command,))
        reader._queue[command] = ATTEMPTS
        reader.done(ended(command, outcome=Outcome.EXPIRED), WALL, 0)
    assert reader.mirror.heard(b"\x80" + key) == (command,)


def test_figures_are_read_again() -> None:
    """Battery and the three kinds of statistics."""
    reader = Reader(full_mirror())
    reader.add_figures()
    assert rest(reader) == [b"\x14", b"\x38\x00", b"\x38\x01", b"\x38\x02"]
    reader.add_figures()
    assert len(rest(reader)) == 4
