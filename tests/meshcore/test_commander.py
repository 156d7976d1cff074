"""One command outstanding, each answer to who asked, whatever the device does."""

from collections.abc import Hashable

from hypothesis import given, strategies as st
import pytest

from custom_components.meshmonitor.meshcore import commander as commander_module
from custom_components.meshmonitor.meshcore.commander import Commander
from custom_components.meshmonitor.meshcore.commands import COMMANDS
from custom_components.meshmonitor.meshcore.contacts import MAX_CONTACTS
from custom_components.meshmonitor.meshcore.jobs import (
    Action,
    Done,
    Job,
    Outcome,
    Overheard,
    Pushed,
    ResetLink,
    StreamBegun,
    Write,
)
from custom_components.meshmonitor.meshcore.mirror import READ_SELF

KEY = bytes(range(32))
OWN = b"\xee" * 32
TEXT = b"\x02\x00\x00" + bytes(4) + KEY[:6] + b"hi"
POST = b"\x03\x00\x00" + bytes(4) + b"hi"
SELF_INFO = b"\x05" + bytes(57)
CONTACT = b"\x03" + bytes(147)
LATER = 1000.0


def job(frame: bytes, owner: Hashable = "a", **values: object) -> Job:
    """Return a job that may wait for long, unless the test says otherwise."""
    slot = COMMANDS[frame[0]].slot
    settings: dict[str, object] = {"expires": LATER, "slot": slot, **values}
    return Job(frame, owner, **settings)  # type: ignore[arg-type]


def up() -> Commander:
    """Return a commander with a link."""
    commander = Commander(public_key=OWN)
    assert commander.link_up(0.0) == []
    return commander


def written(actions: list[Action]) -> list[bytes]:
    """Return what is sent to the device."""
    return [action.frame for action in actions if isinstance(action, Write)]


def ended(actions: list[Action]) -> list[Job]:
    """Return the jobs that have ended."""
    return [action.job for action in actions if isinstance(action, Done)]


def test_one_command_at_a_time_and_clients_in_turn() -> None:
    """Two that each want much take turns; each keeps its own order."""
    commander = up()
    order = written(commander.submit(job(b"\x2a1" + KEY, "a"), 0))
    for number, owner in ((2, "a"), (3, "a"), (4, "b"), (5, "b")):
        assert commander.submit(job(b"\x2a" + str(number).encode() + KEY, owner), 0) == []
    for _ in range(4):
        order += written(commander.frame_received(b"\x16" + bytes(5), 0))
    assert [chr(frame[1]) for frame in order] == ["1", "2", "4", "3", "5"]
    assert written(commander.frame_received(b"\x16" + bytes(5), 0)) == []
    assert commander.is_idle


def test_the_answer_goes_to_who_asked() -> None:
    """By the expected kinds of answer; errors too."""
    commander = up()
    first, second = job(b"\x14"), job(b"\x3c", "b")
    assert written(commander.submit(first, 0)) == [b"\x14"]
    commander.submit(second, 0)
    actions = commander.frame_received(b"\x0c\x01\x02", 0)
    assert ended(actions) == [first]
    assert (first.outcome, first.replies) == (Outcome.ANSWERED, [b"\x0c\x01\x02"])
    assert written(actions) == [b"\x3c"]
    assert ended(commander.frame_received(b"\x01\x01", 0)) == [second]
    assert second.replies == [b"\x01\x01"]


@pytest.mark.parametrize("frame", [b"\x09\0\0\0\0", b"\x00", CONTACT, b"\x0a"])
def test_what_answers_nothing_is_absorbed(frame: bytes) -> None:
    """Other interfaces' answers, heartbeats of other firmware."""
    commander = up()
    assert commander.frame_received(frame, 0) == []
    waiting = job(b"\x14")
    commander.submit(waiting, 0)
    assert commander.frame_received(frame, 0) == []
    assert commander.counters.absorbed == 2
    assert ended(commander.frame_received(b"\x0c\0\0", 0)) == [waiting]


@pytest.mark.parametrize("code", [7, 8, 16, 17, 27])
def test_messages_for_another_interface_are_messages(code: int) -> None:
    """They have left the radio's queue, so nobody else would tell us of them."""
    commander = up()
    frame = bytes([code]) + bytes(20)
    assert commander.frame_received(frame, 0) == [Overheard(frame)]
    commander.submit(job(b"\x14"), 0)
    assert commander.frame_received(frame, 0) == [Overheard(frame)]


@pytest.mark.parametrize(
    ("command", "foreign", "own"),
    [
        (b"\x1e" + KEY, CONTACT, b"\x03" + KEY + bytes(115)),
        (b"\x1f\x02", b"\x12\x01" + bytes(48), b"\x12\x02" + bytes(48)),
        (b"\x38\x00", b"\x18\x02" + bytes(28), b"\x18\x00" + bytes(9)),
    ],
    ids=["contact", "channel", "statistics"],
)
def test_what_another_interface_reads_is_no_answer(
    command: bytes, foreign: bytes, own: bytes
) -> None:
    """A phone at the radio's Bluetooth reads other contacts and channels at the same time."""
    commander = up()
    waiting = job(command)
    commander.submit(waiting, 0)
    assert commander.frame_received(foreign, 0) == []
    assert ended(commander.frame_received(own, 0)) == [waiting]
    assert waiting.replies == [own]
    assert commander.counters.absorbed == 1


def test_sync_takes_any_kind_of_message() -> None:
    """Also one that is not known yet; but no heartbeat."""
    commander = up()
    for reply in (b"\x10" + bytes(20), b"\x1eabc", b"\x0a", b"\x01\x04"):
        sync = job(b"\x0a")
        commander.submit(sync, 0)
        assert commander.frame_received(b"\x09\0\0\0\0", 0) == []
        assert ended(commander.frame_received(reply, 0)) == [sync]


def test_answers_between_contacts() -> None:
    """Real firmware answers other commands while it sends its list."""
    commander = up()
    contacts, battery = job(b"\x04"), job(b"\x14", "b")
    assert written(commander.submit(contacts, 0)) == [b"\x04"]
    commander.submit(battery, 0)
    actions = commander.frame_received(b"\x02\x02\0\0\0", 0)
    assert isinstance(actions[0], StreamBegun)
    assert written(actions) == [b"\x14"]
    assert commander.frame_received(CONTACT, 0) == []
    assert ended(commander.frame_received(b"\x0c\0\0", 0)) == [battery]
    assert commander.frame_received(CONTACT, 0) == []
    assert ended(commander.frame_received(b"\x04\0\0\0\0", 0)) == [contacts]
    assert [frame[0] for frame in contacts.replies] == [2, 3, 3, 4]


def test_a_list_without_end_is_ended() -> None:
    """With what came by then; nothing that follows is kept."""
    commander = up()
    contacts = job(b"\x04")
    commander.submit(contacts, 0)
    commander.frame_received(b"\x02\xff\xff\xff\xff", 0)
    ends = [ended(commander.frame_received(CONTACT, 0)) for _ in range(3 * MAX_CONTACTS)]
    assert [jobs for jobs in ends if jobs] == [[contacts]]
    assert contacts.outcome is Outcome.TIMEOUT
    assert MAX_CONTACTS < len(contacts.replies) < MAX_CONTACTS + 10


@pytest.mark.parametrize("frame", [b"\x01" + bytes(8), b"\x04", b"\x1e" + KEY])
def test_what_would_disturb_the_list_waits(frame: bytes) -> None:
    """It would end the list, be refused, or be taken for a part of it."""
    commander = up()
    commander.submit(job(b"\x04"), 0)
    commander.frame_received(b"\x02\x01\0\0\0", 0)
    assert commander.submit(job(frame, "b"), 0) == []
    assert written(commander.frame_received(b"\x04\0\0\0\0", 0)) == [frame]


def test_a_list_that_stops_is_ended_and_the_line_made_sure_of() -> None:
    """With what came; the device is asked who it is, which also ends its list."""
    commander = up()
    contacts = job(b"\x04")
    commander.submit(contacts, 0)
    commander.frame_received(b"\x02\x02\0\0\0", 0)
    commander.frame_received(CONTACT, 1)
    assert commander.tick(5.9) == []
    assert ended(commander.tick(6.0)) == [contacts]
    assert contacts.outcome is Outcome.TIMEOUT
    assert len(contacts.replies) == 2
    commander.submit(job(b"\x14", "b"), 6.1)
    assert written(commander.tick(7.6)) == [READ_SELF]
    assert written(commander.frame_received(SELF_INFO, 7.7)) == [b"\x14"]


def test_a_late_answer_is_not_taken_for_the_next() -> None:
    """Nothing is sent until the device has been quiet and answered a question of ours."""
    commander = up()
    text, post = job(TEXT), job(POST, "b")
    commander.submit(text, 0)
    commander.submit(post, 0)
    assert ended(commander.tick(5.0)) == [text]
    assert text.outcome is Outcome.TIMEOUT
    assert commander.frame_received(b"\x06\x01TAG!\0\0\0\0", 5.5) == []
    assert commander.tick(6.6) == []
    assert written(commander.tick(7.0)) == [READ_SELF]
    assert commander.frame_received(b"\x00", 7.1) == []
    assert written(commander.frame_received(SELF_INFO, 7.2)) == [POST]
    assert ended(commander.frame_received(b"\x00", 7.3)) == [post]
    assert commander.counters.timeouts == commander.counters.resyncs == 1


def test_a_device_that_never_gets_quiet_is_asked_all_the_same() -> None:
    """Another app may keep it busy."""
    commander = up()
    commander.submit(job(b"\x14"), 0)
    now = 5.0
    actions = commander.tick(now)
    while not written(actions):
        now += 1
        commander.frame_received(b"\x88\0\0\0", now)
        actions = commander.tick(now)
    assert written(actions) == [READ_SELF]
    assert now == 15.0


def test_a_device_that_stays_silent_is_connected_anew() -> None:
    """After two questions; what was sent is never sent again."""
    commander = up()
    text, post = job(TEXT), job(POST)
    commander.submit(text, 0)
    commander.submit(post, 0)
    sent = [TEXT]
    now = 0.0
    while True:
        now += 0.5
        actions = commander.tick(now)
        sent += written(actions)
        if any(isinstance(action, ResetLink) for action in actions):
            break
    assert sent == [TEXT, READ_SELF, READ_SELF]
    assert now == 16.5
    commander.link_down(now)
    assert written(commander.link_up(now + 1)) == [POST]


def test_a_lost_link_ends_what_was_sent_and_keeps_what_waits() -> None:
    """What may have been done is not done twice."""
    commander = up()
    text, post = job(TEXT), job(POST)
    commander.submit(text, 0)
    commander.submit(post, 0)
    assert ended(commander.link_down(1)) == [text]
    assert text.outcome is Outcome.LOST
    assert post.outcome is None
    assert written(commander.link_up(2)) == [POST]


def test_what_cannot_be_sent_in_time_ends() -> None:
    """A client is told, while its user still looks."""
    commander = Commander()
    waiting = job(TEXT, expires=3.0)
    commander.submit(waiting, 0)
    assert commander.next_deadline(0) == 3.0
    assert ended(commander.tick(3.0)) == [waiting]
    assert waiting.outcome is Outcome.EXPIRED
    assert commander.is_idle


def test_a_full_queue_refuses() -> None:
    """Only for the client that filled it."""
    commander = Commander()
    jobs = [job(POST) for _ in range(commander_module.MAX_QUEUED + 1)]
    actions = [action for one in jobs for action in commander.submit(one, 0)]
    assert ended(actions) == jobs[-1:]
    assert jobs[-1].outcome is Outcome.QUEUE_FULL
    assert commander.submit(job(POST, "b"), 0) == []
    assert commander.counters.queue_full == 1


def test_a_client_that_left_is_forgotten() -> None:
    """What it asked is not sent, what it said is; the one outstanding still has to be answered."""
    commander = up()
    commander.submit(job(b"\x14"), 0)
    question, request, text = job(b"\x2b"), job(b"\x1a" + KEY, key=KEY[:6]), job(POST)
    for one in (question, request, text):
        commander.submit(one, 0)
    commander.submit(job(b"\x3c", "b"), 0)
    assert ended(commander.drop_owner("a")) == [question, request]
    assert question.outcome is request.outcome is Outcome.EXPIRED
    assert written(commander.frame_received(b"\x0c\0\0", 0)) == [b"\x3c"]
    assert written(commander.frame_received(b"\x1a", 0)) == [POST]
    assert ended(commander.frame_received(b"\x00", 0)) == [text]
    assert commander.drop_owner("a") == []


def test_all_who_left_have_one_turn() -> None:
    """Who comes and goes all the time leaves the others theirs, and does not queue for ever."""
    commander = up()
    commander.submit(job(b"\x14", "b"), 0)
    count = commander_module.MAX_QUEUED + 1
    texts = [job(POST + bytes([number]), f"gone {number}") for number in range(count)]
    actions: list[Action] = []
    for text in texts:
        commander.submit(text, 0)
        actions += commander.drop_owner(f"gone {text.frame[-1]}")
    assert ended(actions) == texts[-1:]
    assert texts[-1].outcome is Outcome.QUEUE_FULL
    commander.submit(job(b"\x2b", "b"), 0)
    assert written(commander.frame_received(b"\x0c\0\0", 0)) == [texts[0].frame]
    assert written(commander.frame_received(b"\x00", 0)) == [b"\x2b"]
    assert written(commander.frame_received(b"\x17", 0)) == [texts[1].frame]


def test_what_is_wanted_anew_later_is_withdrawn() -> None:
    """Whatever it is; others keep what they have waiting."""
    commander = Commander(public_key=OWN)
    mine = [job(b"\x0a"), job(POST), job(b"\x2b")]
    for one in (*mine, job(b"\x14", "b")):
        commander.submit(one, 0)
    assert ended(commander.withdraw("a")) == mine
    assert commander.withdraw("a") == []
    assert written(commander.link_up(1)) == [b"\x14"]


def test_self_telemetry_is_answered_by_a_push() -> None:
    """Told from another node's by the own key."""
    commander = up()
    telemetry = job(b"\x27\0\0\0", slot=None)
    commander.submit(telemetry, 0)
    other = b"\x8b\x00" + KEY[:6] + b"lpp"
    assert commander.frame_received(other, 0) == [Pushed(other, None)]
    own = b"\x8b\x00" + OWN[:6] + b"lpp"
    assert ended(commander.frame_received(own, 0)) == [telemetry]
    assert commander.frame_received(own, 0) == [Pushed(own, None)]


def test_a_reboot_is_not_answered() -> None:
    """The device is found again, or connected anew."""
    commander = up()
    reboot = job(b"\x13reboot")
    actions = commander.submit(reboot, 0)
    assert written(actions) == [b"\x13reboot"]
    assert ended(actions) == [reboot]
    assert commander.submit(job(b"\x14", "b"), 0) == []
    assert written(commander.tick(1.5)) == [READ_SELF]


def test_the_scope_is_wrapped_around_what_a_client_sends() -> None:
    """Set before it where the device has another one; not set again for the next."""
    commander = up()
    private, default = b"\x36\x00" + b"k" * 16, b"\x36\x00"
    text = job(TEXT, scope=private)
    assert written(commander.submit(text, 0)) == [private]
    # The firmware's document allows for a number behind the code.
    assert written(commander.frame_received(b"\x00" + bytes(4), 0)) == [TEXT]
    assert ended(commander.frame_received(b"\x06\x01TAG!\0\0\0\0", 0)) == [text]
    assert written(commander.submit(job(POST, scope=private), 0)) == [POST]
    commander.frame_received(b"\x00", 0)
    assert written(commander.submit(job(POST, "b", scope=default), 0)) == [default]
    assert written(commander.frame_received(b"\x00", 0)) == [POST]
    commander.frame_received(b"\x00", 0)
    commander.link_down(1)
    commander.link_up(2)
    assert written(commander.submit(job(POST, "b", scope=default), 2)) == [default]


def test_a_scope_that_cannot_be_set_ends_the_command_unsent() -> None:
    """It would go out to the wrong nodes."""
    commander = up()
    text = job(TEXT, scope=b"\x36\x01")
    commander.submit(text, 0)
    assert ended(commander.frame_received(b"\x01\x01", 0)) == [text]
    assert text.replies == [b"\x01\x01"]
    again = job(TEXT, scope=b"\x36\x01")
    assert written(commander.submit(again, 0)) == [b"\x36\x01"]
    assert ended(commander.tick(5.0)) == [again]
    assert again.outcome is Outcome.EXPIRED


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("submit"), st.sampled_from(sorted(COMMANDS)), st.sampled_from("abc")),
        st.tuples(st.just("frame"), st.binary(min_size=1, max_size=40), st.just("")),
        st.tuples(st.just("wait"), st.floats(0, 7), st.just("")),
        st.tuples(st.just("link"), st.booleans(), st.just("")),
        st.tuples(st.just("drop"), st.just(0), st.sampled_from("abc")),
    ),
    max_size=60,
)


@given(STEPS)
def test_whatever_happens_every_job_ends_once(steps: list[tuple[str, object, str]]) -> None:
    """No exception, no job forgotten, no command sent twice, no deadline in the past for ever."""
    commander = Commander(public_key=OWN)
    now = 0.0
    jobs: list[Job] = []
    done: list[Job] = []
    sent_frames: list[bytes] = []
    is_up = False

    def take(actions: list[Action]) -> None:
        nonlocal is_up
        done.extend(ended(actions))
        sent_frames.extend(written(actions))
        if any(isinstance(action, ResetLink) for action in actions):
            is_up = False
            take(commander.link_down(now))

    for kind, value, owner in steps:
        if kind == "submit":
            assert isinstance(value, int)
            frame = bytes([value]) + len(jobs).to_bytes(2) + bytes(160)
            one = job(frame, owner, expires=now + 4.0)
            jobs.append(one)
            take(commander.submit(one, now))
        elif kind == "frame":
            assert isinstance(value, bytes)
            take(commander.frame_received(value, now))
        elif kind == "wait":
            assert isinstance(value, float)
            now += value
            take(commander.tick(now))
        elif kind == "link":
            if value and not is_up:
                is_up = True
                take(commander.link_up(now))
            elif not value:
                is_up = False
                take(commander.link_down(now))
        else:
            take(commander.drop_owner(owner))
    take(commander.link_down(now))
    take(commander.tick(now + 100))
    assert commander.is_idle
    assert commander.next_deadline(now + 100) is None
    assert len(done) == len(set(done))
    assert set(jobs) == set(done)
    unique = [frame for frame in sent_frames if frame != READ_SELF]
    assert len(unique) == len(set(unique))
