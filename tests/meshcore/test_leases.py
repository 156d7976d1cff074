"""Who waits for which push: acknowledgements, answers of other nodes, traces, signatures."""

import pytest

from custom_components.meshmonitor.meshcore.jobs import Outcome, Pushed, Write

from .test_commander import KEY, TEXT, ended, job, up, written


def sent(tag: bytes = b"TAG!", milliseconds: int = 4000) -> bytes:
    """Return a SENT response."""
    return b"\x06\x00" + tag + milliseconds.to_bytes(4, "little")


LOGIN = b"\x1a" + KEY + b"pw"
LOGGED_IN = b"\x85\x01" + KEY[:6] + bytes(6)
BINARY = b"\x32" + KEY + b"\x03"


def test_a_pending_request_is_not_overwritten_by_another_client() -> None:
    """The second waits until the first is answered; then its own answer comes to it."""
    commander = up()
    commander.submit(job(LOGIN, key=KEY[:6]), 0)
    commander.frame_received(sent(), 0)
    binary = job(BINARY, "b")
    assert commander.submit(binary, 0) == []
    assert written(commander.submit(job(b"\x14", "c"), 0)) == [b"\x14"]
    commander.frame_received(b"\x0c\0\0", 0)
    actions = commander.frame_received(LOGGED_IN, 1)
    assert actions == [Pushed(LOGGED_IN, ("a",)), Write(BINARY)]
    commander.frame_received(sent(b"\x01\x02\x03\x04"), 1)
    wrong, right = b"\x8c\x00\x09\x09\x09\x09x", b"\x8c\x00\x01\x02\x03\x04x"
    assert commander.frame_received(wrong, 2) == [Pushed(wrong, None)]
    assert commander.frame_received(right, 2) == [Pushed(right, ("b",))]


def test_a_request_that_is_never_answered_makes_room() -> None:
    """After the device's own estimate and a margin; late answers still find their asker."""
    commander = up()
    commander.submit(job(LOGIN, key=KEY[:6]), 0)
    commander.frame_received(sent(), 0)
    commander.submit(job(BINARY, "b"), 0)
    assert commander.next_deadline(0) == 6.0
    assert commander.tick(5.9) == []
    assert written(commander.tick(6.0)) == [BINARY]
    assert commander.frame_received(LOGGED_IN, 6.1) == [Pushed(LOGGED_IN, ("a",))]


def test_the_request_of_a_client_that_left_blocks_nobody() -> None:
    """It left before the radio had said that its request was sent."""
    commander = up()
    commander.submit(job(LOGIN, key=KEY[:6]), 0)
    commander.submit(job(BINARY, "b"), 0)
    commander.drop_owner("a")
    assert written(commander.frame_received(sent(), 0)) == [BINARY]
    assert commander.frame_received(LOGGED_IN, 0) == [Pushed(LOGGED_IN, ())]


def test_a_second_request_that_cannot_wait_is_told() -> None:
    """Busy, so that its user can try again."""
    commander = up()
    commander.submit(job(LOGIN, key=KEY[:6]), 0)
    commander.frame_received(sent(), 0)
    binary = job(BINARY, "b", expires=3.0)
    commander.submit(binary, 0)
    assert ended(commander.tick(3.0)) == [binary]
    assert binary.outcome is Outcome.BUSY


def test_who_asks_again_replaces_its_own_request() -> None:
    """As the device does for its one app; and what was refused leaves the first pending."""
    commander = up()
    commander.submit(job(LOGIN, key=KEY[:6]), 0)
    commander.frame_received(sent(), 0)
    assert written(commander.submit(job(BINARY), 0)) == [BINARY]
    commander.frame_received(b"\x01\x02", 0)
    assert commander.frame_received(LOGGED_IN, 1) == [Pushed(LOGGED_IN, ("a",))]


def test_a_background_request_gives_way() -> None:
    """Our own polling never stands in the way of a person."""
    commander = up()
    commander.submit(job(BINARY, "own", is_background=True), 0)
    commander.frame_received(sent(), 0)
    assert commander.submit(job(BINARY, "other", is_background=True), 0) == []
    assert written(commander.submit(job(LOGIN, key=KEY[:6]), 0)) == [LOGIN]


def test_traces_run_beside_each_other() -> None:
    """Known by the tag that their asker chose; two may have chosen the same."""
    commander = up()
    for owner, tag in (("a", b"SAME"), ("b", b"SAME"), ("c", b"ELSE")):
        commander.submit(job(b"\x24" + tag + bytes(5) + b"\xaa", owner, key=tag), 0)
        commander.frame_received(sent(tag), 0)
    same = b"\x89\x00\x01\x00SAME" + bytes(6)
    assert commander.frame_received(same, 1) == [Pushed(same, ("a", "b"))]
    other = b"\x89\x00\x01\x00ELSE" + bytes(6)
    assert commander.frame_received(other, 1) == [Pushed(other, ("c",))]
    assert commander.frame_received(same, 1) == [Pushed(same, None)]


def test_acknowledgements_go_to_who_waits() -> None:
    """Also two who sent the same text at the same second; only the first of two counts."""
    commander = up()
    for owner in ("a", "b"):
        commander.submit(job(TEXT, owner), 0)
        commander.frame_received(sent(b"ACK!"), 0)
    confirmed = b"\x82ACK!" + bytes(4)
    assert commander.frame_received(confirmed, 1) == [Pushed(confirmed, ("a", "b"))]
    assert commander.frame_received(confirmed, 1) == [Pushed(confirmed, ())]
    unknown = b"\x82????" + bytes(4)
    assert commander.frame_received(unknown, 1) == [Pushed(unknown, None)]


@pytest.mark.parametrize("left", ["waiting", "outstanding", "sent"])
def test_acknowledgements_for_who_left_are_for_all(left: str) -> None:
    """As a radio tells whoever is connected then: the sender may be back by another name."""
    commander = up()
    commander.submit(job(b"\x14", "b"), 0)
    commander.submit(job(TEXT), 0)
    if left == "waiting":
        commander.drop_owner("a")
    assert written(commander.frame_received(b"\x0c\0\0", 0)) == [TEXT]
    if left == "outstanding":
        commander.drop_owner("a")
    commander.frame_received(sent(b"ACK!"), 0)
    if left == "sent":
        commander.drop_owner("a")
    confirmed = b"\x82ACK!" + bytes(4)
    assert commander.frame_received(confirmed, 1) == [Pushed(confirmed, None)]


def test_answers_for_who_left_are_nobody_s() -> None:
    """And the device's place is free at once."""
    commander = up()
    commander.submit(job(LOGIN, key=KEY[:6]), 0)
    commander.frame_received(sent(), 0)
    commander.drop_owner("a")
    assert commander.frame_received(LOGGED_IN, 1) == [Pushed(LOGGED_IN, ())]
    commander.submit(job(LOGIN, "b", key=KEY[:6]), 1)
    commander.frame_received(sent(), 1)
    commander.drop_owner("b")
    assert written(commander.submit(job(BINARY, "c"), 1)) == [BINARY]


def test_a_signature_belongs_to_one() -> None:
    """Nobody comes between its steps; who gives up makes room."""
    commander = up()
    commander.submit(job(b"\x21"), 0)
    commander.frame_received(b"\x13\x00\x00\x20\x00\x00", 0)
    assert commander.submit(job(b"\x21", "b"), 0) == []
    assert written(commander.submit(job(b"\x22data"), 0)) == [b"\x22data"]
    commander.frame_received(b"\x00", 0)
    assert written(commander.submit(job(b"\x23"), 0)) == [b"\x23"]
    assert written(commander.frame_received(b"\x14" + bytes(64), 0)) == [b"\x21"]
    commander.frame_received(b"\x13\x00\x00\x20\x00\x00", 1)
    commander.submit(job(b"\x21", "c"), 1)
    assert written(commander.tick(11.0)) == [b"\x21"]


def test_unanswered_memory_is_bounded() -> None:
    """Acknowledgements that never come do not pile up."""
    commander = up()
    for number in range(200):
        commander.submit(job(TEXT), 0)
        commander.frame_received(sent(number.to_bytes(4, "big") or b"0000"), 0)
    assert len(commander.leases._acks) == 64
