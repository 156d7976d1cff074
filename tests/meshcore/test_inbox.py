"""One queue of the radio, read by many."""

import json

from hypothesis import given, strategies as st
import pytest

from custom_components.meshmonitor.meshcore import inbox as inbox_module
from custom_components.meshmonitor.meshcore.codes import NO_MORE_FRAME
from custom_components.meshmonitor.meshcore.inbox import Inbox, echo_of, to_version

NOW = 1_700_000_000.0


def direct(text: bytes, stamp: int = 1, sender: bytes = b"SENDER") -> bytes:
    """Return a direct text in its newer form."""
    return b"\x10\x20\0\0" + sender + b"\x01\x00" + stamp.to_bytes(4, "little") + text


def post(text: bytes, stamp: int = 1, channel: int = 0, path: int = 1) -> bytes:
    """Return a text on a channel in its newer form."""
    return b"\x11\x20\0\0" + bytes((channel, path, 0)) + stamp.to_bytes(4, "little") + text


def drain(inbox: Inbox, reader: str, version: int = 3) -> list[bytes]:
    """Return everything that waits for a client."""
    frames = []
    while (frame := inbox.take(reader, version, NOW)) != NO_MORE_FRAME:
        frames.append(frame)
    return frames


def opened(*readers: str) -> Inbox:
    """Return an inbox with clients that have been there from the start."""
    inbox = Inbox()
    for reader in readers:
        inbox.open(reader, inbox.end)
    return inbox


def test_every_client_gets_every_message_once_and_in_order() -> None:
    """Fetched from the radio once."""
    inbox = opened("a", "b")
    frames = [direct(b"one"), post(b"B: two"), direct(b"three")]
    for frame in frames:
        assert inbox.received(frame, NOW)
    assert inbox.waiting("a") == 3
    assert drain(inbox, "a") == frames
    assert drain(inbox, "b") == frames
    assert drain(inbox, "a") == []


def test_a_client_that_was_away_finds_what_came_meanwhile() -> None:
    """And a new one finds what came since it connected."""
    inbox = opened("a")
    inbox.received(direct(b"one"), NOW)
    assert len(drain(inbox, "a")) == 1
    connected = inbox.end
    inbox.received(direct(b"two"), NOW)
    inbox.open("a", inbox.end)
    inbox.open("new", connected)
    inbox.open("late", inbox.end)
    assert drain(inbox, "a") == drain(inbox, "new") == [direct(b"two")]
    assert drain(inbox, "late") == []


def test_old_apps_get_the_old_form() -> None:
    """Without signal-to-noise ratio and the two reserved bytes."""
    assert to_version(direct(b"x"), 2) == b"\x07" + direct(b"x")[4:]
    assert to_version(post(b"x"), 0) == b"\x08" + post(b"x")[4:]
    assert to_version(direct(b"x"), 3) == direct(b"x")
    data = b"\x1b\x20\0\0\x00\x01\x05\x00\x01x"
    assert to_version(data, 1) == data
    old = b"\x07" + direct(b"x")[4:]
    assert to_version(old, 3) == to_version(old, 1) == old


def test_unknown_items_are_kept() -> None:
    """Newer firmware has kinds of message that we do not know."""
    inbox = opened("a")
    for frame in (b"\x1eabc", b"\x1eabc", b"\x1f"):
        assert inbox.received(frame, NOW)
    assert drain(inbox, "a", version=1) == [b"\x1eabc", b"\x1eabc", b"\x1f"]


def test_repeated_messages_are_handed_out_once() -> None:
    """A sender that got no acknowledgement sends again with the same time and text."""
    inbox = opened("a")
    assert inbox.received(direct(b"hi"), NOW)
    assert not inbox.received(direct(b"hi"), NOW + 10)
    assert not inbox.received(b"\x07" + direct(b"hi")[4:], NOW + 20)
    assert inbox.received(direct(b"hi", stamp=2), NOW + 20)
    assert inbox.received(direct(b"hi", sender=b"OTHER!"), NOW + 20)
    assert inbox.received(direct(b"hi"), NOW + inbox_module.REPEAT_TIME + 1)
    assert inbox.repeats == 2


def test_a_channel_text_of_one_client_is_shown_to_the_others() -> None:
    """As received from oneself, with no hops; not to its sender, and not again over the air."""
    inbox = opened("a", "b")
    echo = echo_of(1, 77, "Hilltop", b"hello")
    assert echo == b"\x11\0\0\0\x01\x00\x00" + (77).to_bytes(4, "little") + b"Hilltop: hello"
    inbox.sent(echo, "a", NOW)
    assert inbox.waiting("a") == 0
    assert drain(inbox, "b") == [echo]
    heard = post(b"Hilltop: hello", stamp=77, channel=1, path=2)
    assert not inbox.received(heard, NOW + 3)
    assert drain(inbox, "a") == drain(inbox, "b") == []


def test_a_stranger_of_the_same_name_is_heard() -> None:
    """An echo is known by its content, not by its name alone."""
    inbox = opened("a", "b")
    inbox.sent(echo_of(1, 77, "Hilltop", b"hello"), "a", NOW)
    drain(inbox, "b")
    others = [
        post(b"Hilltop: hello", stamp=78, channel=1),
        post(b"Hilltop: other", stamp=77, channel=1),
        post(b"Hilltop: hello", stamp=77, channel=0),
    ]
    for frame in others:
        assert inbox.received(frame, NOW + 1)
    assert drain(inbox, "a") == drain(inbox, "b") == others


def test_a_long_channel_text_is_cut_as_the_firmware_cuts_it() -> None:
    """Else its echo over the air would not be known again."""
    inbox = opened("a", "b")
    text = b"x" * 160
    inbox.sent(echo_of(0, 5, "Hilltop", text), "a", NOW)
    (shown,) = drain(inbox, "b")
    assert len(shown) == 11 + 160
    assert not inbox.received(post((b"Hilltop: " + text)[:160], stamp=5), NOW)


def test_when_full_the_oldest_channel_message_goes() -> None:
    """Direct texts are worth more: the radio's own rule."""
    inbox = opened("a")
    inbox.received(direct(b"first"), NOW)
    for number in range(inbox_module.MAX_MESSAGES):
        inbox.received(post(b"B: x", stamp=number), NOW)
    frames = drain(inbox, "a")
    assert len(frames) == inbox_module.MAX_MESSAGES
    assert frames[0] == direct(b"first")
    assert frames[1] == post(b"B: x", stamp=1)
    assert inbox.overflowed == 1


def test_old_messages_are_forgotten() -> None:
    """A client that was away for weeks is not flooded."""
    inbox = opened("a")
    inbox.received(direct(b"old"), NOW - inbox_module.MAX_AGE - 1)
    inbox.received(direct(b"new"), NOW)
    assert drain(inbox, "a") == [direct(b"new")]


def test_places_are_bounded() -> None:
    """Strangers that come and go do not fill the memory."""
    inbox = Inbox()
    for number in range(1000):
        inbox.open(f"reader {number}", inbox.end)
    assert len(inbox._places) == inbox_module.MAX_READERS


def test_strangers_cost_nobody_else_a_place() -> None:
    """Neither one that is there, nor one that is away, loses its place to another address."""
    there, away = "10.0.0.1/app", "10.0.0.2/app"
    inbox = opened(there, away)
    for number in range(inbox_module.MAX_READERS * 2):
        inbox.open(f"10.0.0.3/{number}", inbox.end, [there])
    inbox.received(direct(b"one"), NOW)
    assert inbox.has_unread(there)
    assert drain(inbox, there) == drain(inbox, away) == [direct(b"one")]
    assert len(inbox._places) == inbox_module.MAX_READERS


def test_a_place_behind_the_end_is_brought_back() -> None:
    """A damaged place would hide messages for long."""
    inbox = Inbox.load({"next": 5, "items": [], "places": {"a": 1000}})
    inbox.received(direct(b"one"), NOW)
    assert drain(inbox, "a") == [direct(b"one")]


def test_snapshot_there_and_back() -> None:
    """Waiting messages survive a restart, and so does what was read."""
    inbox = opened("a", "b")
    inbox.received(direct(b"one"), NOW)
    inbox.sent(echo_of(0, 5, "Hilltop", b"x"), "a", NOW)
    drain(inbox, "b")
    restored = Inbox.load(json.loads(json.dumps(inbox.export())))
    assert drain(restored, "a") == [direct(b"one")]
    assert drain(restored, "b") == []
    assert not restored.received(direct(b"one"), NOW + 5)


@pytest.mark.parametrize("damage", [{}, {"items": 3}, {"items": [[1]]}, {"items": [[1, 2, "", 0]]}])
def test_a_damaged_snapshot_is_refused(damage: dict[str, object]) -> None:
    """In one way, whatever is wrong."""
    with pytest.raises(ValueError):
        Inbox.load({"next": 1, "places": {}, **damage} if damage else {})


@given(st.lists(st.tuples(st.sampled_from("rstg"), st.integers(0, 1)), max_size=40))
def test_whether_something_is_unread(steps: list[tuple[str, int]]) -> None:
    """It is known without counting, and no other than what counting says."""
    inbox, readers = opened("a", "b"), ("a", "b")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inbox_module, "MAX_MESSAGES", 4)
        for number, (step, which) in enumerate(steps):
            if step == "r":
                inbox.received(direct(b"x", stamp=number) if which else post(b"x", number), NOW)
            elif step == "s":
                inbox.sent(echo_of(0, number, "Hilltop", b"x"), readers[which], NOW)
            elif step == "t":
                inbox.take(readers[which], 3, NOW)
            else:
                inbox.give_back(readers[which], inbox.end - 3)
            for reader in (*readers, "stranger"):
                assert inbox.has_unread(reader) == bool(inbox.waiting(reader))


@given(st.lists(st.binary(min_size=1, max_size=20), max_size=30))
def test_any_item_is_kept_or_counted(frames: list[bytes]) -> None:
    """Nothing is lost in silence."""
    inbox = opened("a")
    kept = [frame for frame in frames if inbox.received(frame, NOW)]
    assert len(kept) + inbox.repeats == len(frames)
    assert drain_all(inbox) == kept


def drain_all(inbox: Inbox) -> list[bytes]:
    """Return all that waits, also items that look like the end of the queue."""
    return [inbox.take("a", 3, NOW) for _ in range(inbox.waiting("a"))]
