"""A radio that restarts, or forgets what it was asked, over one connection."""

from meshtastic.protobuf import mesh_pb2
import pytest

from custom_components.meshmonitor.meshtastic.framing import encode
from custom_components.meshmonitor.meshtastic.session import (
    FIRST_FRAME_TIMEOUT,
    QUIET_TIMEOUT,
    EventKind,
    Phase,
    Step,
)
from tests.meshtastic.talk import (
    BANNER,
    COMPLETE,
    HEARTBEAT_ANSWER,
    LOG_RECORD,
    MY_INFO,
    NONCE,
    PACKET,
    PACKET_ANSWER,
    REBOOTED,
    asked,
    from_radio,
    kinds,
    live,
    phase,
    session,
)


def test_reboot_amid_the_dump() -> None:
    """What was told before is void, and the radio is asked again with another nonce."""
    made = session(NONCE, 0, 77)
    made.open(0.0)
    made.receive(MY_INFO, 1.0)
    step = made.receive(REBOOTED, 2.0)
    assert kinds([step]) == [EventKind.DUMP_STARTED]
    assert [message.want_config_id for message in asked(step.write)] == [77]
    step = made.receive(COMPLETE + MY_INFO + from_radio(config_complete_id=77), 3.0)
    assert kinds([step]) == [EventKind.DUMP_FRAME, EventKind.DUMP_COMPLETE]


def test_reboot_while_live() -> None:
    """The session begins anew over the same connection, time limits included."""
    made = session(NONCE, 77)
    made.open(0.0)
    made.receive(MY_INFO + COMPLETE, 1.0)
    step = made.receive(PACKET + b"boot text\r\n" + REBOOTED, 500.0)
    assert kinds([step]) == [EventKind.LIVE, EventKind.DUMP_STARTED]
    assert [message.want_config_id for message in asked(step.write)] == [77]
    assert phase(made) is Phase.DUMP
    assert made.tick(500.0 + FIRST_FRAME_TIMEOUT).drop is None
    assert made.tick(500.1 + FIRST_FRAME_TIMEOUT).drop == "no answer to the configuration request"


@pytest.mark.parametrize("cut", range(1, len(BANNER)))
def test_reboot_that_only_text_tells(cut: int) -> None:
    """Firmware 2.8 says so on its console in no other way, wherever the text is cut."""
    made = session(NONCE, 77, is_serial=True)
    made.open(0.0)
    made.receive(BANNER[-4:] + MY_INFO + COMPLETE, 1.0)
    steps = [
        made.receive(PACKET + b"ets Jul 29 2019 \x94" + BANNER[:cut], 500.0),
        made.receive(BANNER[cut:] + b"DEBUG | [Power] \x94", 500.0),
        made.receive(b"DEBUG" + MY_INFO + from_radio(config_complete_id=77), 510.0),
    ]
    assert kinds(steps) == [
        EventKind.LIVE,
        EventKind.DUMP_STARTED,
        EventKind.DUMP_FRAME,
        EventKind.DUMP_COMPLETE,
    ]
    written = b"".join(step.write for step in steps)
    assert [message.want_config_id for message in asked(written)] == [77, 0]


def test_reboot_told_in_both_ways_is_one() -> None:
    """Firmware 2.7 writes a frame, and its text behind that."""
    made = session(NONCE, 77, 78, is_serial=True)
    made.open(0.0)
    made.receive(MY_INFO + COMPLETE, 1.0)
    first = made.receive(b"rst:0x1" + REBOOTED + BANNER, 500.0)
    assert [message.want_config_id for message in asked(first.write)] == [77]
    assert made.receive(BANNER, 501.0).write == b""
    made.receive(from_radio(config_complete_id=77), 502.0)
    again = made.receive(BANNER, 503.0)
    assert [message.want_config_id for message in asked(again.write)] == [78]


def test_text_that_looks_like_a_reboot() -> None:
    """One of the mesh is in a frame or a line of the log; behind a network is no console."""
    made = session(is_serial=True)
    made.open(0.0)
    made.receive(MY_INFO + COMPLETE, 1.0)
    packet = mesh_pb2.MeshPacket(id=9, decoded=mesh_pb2.Data(payload=BANNER))
    assert kinds([made.receive(from_radio(packet=packet), 2.0)]) == [EventKind.LIVE]
    logged = b"INFO  | 12:00:00 9 [Router] Received text msg from=0x1, id=0x2, msg=M E S H T\r\n"
    assert made.receive(logged, 3.0) == Step()
    networked = live(0.0, answers_heartbeats=True)
    assert networked.receive(BANNER, 1.0) == Step()


def test_serial_radio_that_forgot_the_session() -> None:
    """It answers heartbeats and logs, but tells nothing of its own: it is asked again."""
    made = session(NONCE, 77, is_serial=True)
    made.open(0.0)
    made.receive(MY_INFO + COMPLETE, 0.0)
    made.receive(PACKET, 100.0)
    now = 100.0
    while not kinds([step := made.tick(now)]):
        assert now < 1000
        made.receive(HEARTBEAT_ANSWER + LOG_RECORD, now)
        now += step.delay
    assert kinds([step]) == [EventKind.DUMP_STARTED]
    assert [message.want_config_id for message in asked(step.write)] == [77]
    assert 0 < now - QUIET_TIMEOUT - 100.0 <= 5.0


@pytest.mark.parametrize("said", [PACKET, PACKET_ANSWER])
def test_quiet_serial_radio_is_left_alone(said: bytes) -> None:
    """Its own measurements each minute are enough, or a word about what it was sent."""
    made = session(NONCE, is_serial=True)
    made.open(0.0)
    made.receive(MY_INFO + COMPLETE, 0.0)
    for now in range(5, 3000, 5):
        made.receive(said if now % 240 == 0 else HEARTBEAT_ANSWER, now)
        assert kinds([made.tick(now)]) == []


def test_serial_radio_that_never_says_anything() -> None:
    """It has nothing to tell; reading it every five minutes would not change that."""
    made = session(NONCE, 77, is_serial=True)
    made.open(0.0)
    made.receive(MY_INFO + COMPLETE, 0.0)
    for now in range(5, 3000, 5):
        made.receive(HEARTBEAT_ANSWER + LOG_RECORD, now)
        assert kinds([made.tick(now)]) == []


def test_reboot_that_is_none() -> None:
    """The field with the value false says nothing."""
    made = live(0.0, answers_heartbeats=False)
    assert kinds([made.receive(encode(b"\x40\x00"), 1.0)]) == [EventKind.LIVE]
