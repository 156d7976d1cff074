"""One connection's talk with a radio: handshake, heartbeats, liveness, damaged streams."""

from pathlib import Path

from meshtastic.protobuf import mesh_pb2
import pytest

from custom_components.meshmonitor.meshtastic.framing import encode
from custom_components.meshmonitor.meshtastic.session import (
    DISCONNECT,
    DUMP_TIMEOUT,
    FIRST_FRAME_TIMEOUT,
    HEARTBEAT,
    HEARTBEAT_INTERVAL,
    PARTIAL_FRAME_TIMEOUT,
    PROGRESS_TIMEOUT,
    EventKind,
    Phase,
    Session,
    Step,
)
from tests.meshtastic.talk import (
    COMPLETE,
    HEARTBEAT_ANSWER,
    MY_INFO,
    NONCE,
    PACKET,
    PACKET_ANSWER,
    REBOOTED,
    WAKE,
    asked,
    from_radio,
    kinds,
    live,
    phase,
    session,
)
from tests.simulators.recording import MESHTASTIC_2_7, MESHTASTIC_2_8, live_frames, recorded_dumps


def test_handshake() -> None:
    """The radio is asked once; what comes is handed on in order; then it is live."""
    made = session()
    assert phase(made) is Phase.CLOSED
    request = asked(made.open(10.0))
    assert [message.WhichOneof("payload_variant") for message in request] == ["want_config_id"]
    assert request[0].want_config_id == NONCE
    assert phase(made) is Phase.DUMP
    step = made.receive(MY_INFO + PACKET, 11.0)
    assert step.write == b""
    assert [(event.kind, encode(event.payload)) for event in step.events] == [
        (EventKind.DUMP_FRAME, MY_INFO),
        (EventKind.DUMP_FRAME, PACKET),
    ]
    assert [event.variant and event.variant.number for event in step.events] == [3, 2]
    step = made.receive(COMPLETE + PACKET, 12.0)
    assert kinds([step]) == [EventKind.DUMP_COMPLETE, EventKind.LIVE]
    # A heartbeat at once tells whether this firmware answers them.
    assert step.write == encode(HEARTBEAT)
    assert phase(made) is Phase.LIVE
    made.close()
    assert phase(made) is Phase.CLOSED


@pytest.mark.parametrize("path", [MESHTASTIC_2_7, MESHTASTIC_2_8])
@pytest.mark.parametrize("size", [1, 7, 1460])
def test_recorded_dump(path: Path, size: int) -> None:
    """A real radio's dump passes through byte for byte, however it is cut."""
    dump = next(dump for dump in recorded_dumps(path) if dump.kind == "full")
    live_ones = live_frames(path)
    made = session(dump.nonce)
    made.open(0.0)
    stream = b"".join(encode(payload) for payload in (*dump.frames, *live_ones))
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
    steps = [made.receive(piece, 1.0) for piece in pieces]
    events = [(event.kind, event.payload) for step in steps for event in step.events]
    assert events == [
        *((EventKind.DUMP_FRAME, payload) for payload in dump.frames[:-1]),
        (EventKind.DUMP_COMPLETE, b""),
        *((EventKind.LIVE, payload) for payload in live_ones),
    ]
    assert b"".join(step.write for step in steps) == encode(HEARTBEAT)
    assert made.malformed_frames == 0


def test_field_newer_than_the_schema_hides_no_variant() -> None:
    """What every reader takes a frame for, that it is; a variant that is new is one as well."""
    made = live(0.0, answers_heartbeats=False)
    new_field = b"\xc2\x02\x01x"  # Number 40.
    packet = encode(PACKET[4:] + new_field)
    step = made.receive(packet + encode(new_field), 1.0)
    assert [event.variant and event.variant.number for event in step.events] == [2, 40]
    assert [encode(event.payload) for event in step.events] == [packet, encode(new_field)]


def test_nonce_is_never_a_special_one() -> None:
    """The radio gives less for two numbers, and zero and one are no good to tell answers by."""
    made = session(0, 1, 69420, 69421, 5)
    assert asked(made.open(0.0))[0].want_config_id == 5


def test_serial_port_is_woken() -> None:
    """A half-read frame of an earlier program is completed before anything is said."""
    assert session(is_serial=True).open(0.0) == WAKE + session().open(0.0)


def test_what_is_written_is_what_the_radio_knows() -> None:
    """Heartbeats have nonce 0: nonce 1 would be a broadcast of the radio's node information."""
    heartbeat = mesh_pb2.ToRadio.FromString(HEARTBEAT)
    assert heartbeat.WhichOneof("payload_variant") == "heartbeat"
    assert heartbeat.heartbeat.nonce == 0
    assert mesh_pb2.ToRadio.FromString(DISCONNECT).disconnect


def test_answer_to_somebody_else_is_no_end() -> None:
    """The end of a dump that an earlier program asked for is not the end of ours."""
    made = session()
    made.open(0.0)
    step = made.receive(from_radio(config_complete_id=999) + MY_INFO, 1.0)
    assert kinds([step]) == [EventKind.DUMP_FRAME]
    assert step.write == b""
    assert phase(made) is Phase.DUMP
    # Nor does it concern anybody afterwards.
    assert kinds([made.receive(COMPLETE + COMPLETE, 2.0)]) == [EventKind.DUMP_COMPLETE]


def test_asks_only_once() -> None:
    """Nothing but a reboot makes it ask again, whatever comes and however long it takes."""
    made = session()
    written = made.open(0.0)
    for now in range(1, 600):
        written += made.receive(PACKET if now % 3 else MY_INFO, now).write
        written += made.tick(now).write
        if now == 60:
            written += made.receive(COMPLETE, now).write
    requests = [message for message in asked(written) if message.HasField("want_config_id")]
    assert len(requests) == 1
    assert len(asked(written)) > 10  # Heartbeats.


def test_silence_after_the_request() -> None:
    """A radio that does not answer is given up."""
    made = session()
    made.open(100.0)
    assert made.tick(100.0 + FIRST_FRAME_TIMEOUT) == Step(delay=1.0)
    assert made.tick(100.1 + FIRST_FRAME_TIMEOUT).drop == "no answer to the configuration request"


def test_silence_amid_the_dump() -> None:
    """A slow radio has time for each frame, not for all together."""
    made = session()
    made.open(0.0)
    for now in range(15, 200, 15):
        made.receive(MY_INFO, now)
        assert made.tick(now + 14).drop is None
    assert made.tick(195 + PROGRESS_TIMEOUT).drop is None
    assert made.tick(195.1 + PROGRESS_TIMEOUT).drop == "the configuration stopped arriving"


@pytest.mark.parametrize(
    "traffic",
    [
        PACKET,
        PACKET_ANSWER,
        from_radio(log_record=mesh_pb2.LogRecord(message="[Router] Rx")),
        from_radio(clientNotification=mesh_pb2.ClientNotification(message="hot")),
        from_radio(mqttClientProxyMessage=mesh_pb2.MqttClientProxyMessage(topic="t")),
    ],
)
def test_dump_whose_end_was_lost(traffic: bytes) -> None:
    """Traffic is no part of a dump: a busy mesh does not hide that the end never comes."""
    made = session()
    made.open(0.0)
    made.receive(MY_INFO, 1.0)
    drops = []
    for now in range(2, 60):
        made.receive(traffic, now)
        drops.append(made.tick(now).drop)
    assert drops.index("the configuration stopped arriving") == pytest.approx(PROGRESS_TIMEOUT)


def test_dump_without_end() -> None:
    """A dump that goes on and on is given up."""
    made = session()
    made.open(0.0)
    now = 0.0
    while (drop := made.tick(now).drop) is None:
        made.receive(MY_INFO, now)
        now += 1.0
    assert drop == "the configuration does not end"
    assert now == pytest.approx(DUMP_TIMEOUT, abs=2)


def test_heartbeats() -> None:
    """They go out at their interval; the caller is told to come back in time."""
    made = live(0.0, answers_heartbeats=True)
    sent: list[float] = []
    now = 0.0
    while now < 300:
        step = made.tick(now)
        assert step.drop is None
        assert 0 < step.delay <= 5.0
        if step.write:
            assert step.write == encode(HEARTBEAT)
            sent.append(now)
            made.receive(HEARTBEAT_ANSWER, now)
        now += step.delay
    assert sent == [pytest.approx(HEARTBEAT_INTERVAL * count) for count in range(1, 10)]


def test_dead_radio_is_found_within_three_heartbeats() -> None:
    """A radio that answered heartbeats and falls silent is gone."""
    made = live(0.0, answers_heartbeats=True)
    now, heartbeats = 0.0, 0
    while (step := made.tick(now)).drop is None:
        heartbeats += bool(step.write)
        now += step.delay
    assert step.drop == "no answer to heartbeats"
    assert heartbeats == 2
    assert now <= 3 * HEARTBEAT_INTERVAL


@pytest.mark.parametrize("sign", [PACKET, HEARTBEAT_ANSWER, b"log text", b"\x94"])
def test_any_byte_is_a_sign_of_life(sign: bytes) -> None:
    """Whatever the radio says shows that it is there."""
    made = live(0.0, answers_heartbeats=True)
    for now in range(1, 1000):
        if now % 70 == 0:
            made.receive(sign, now)
        assert made.tick(now).drop is None


def test_firmware_that_answers_no_heartbeats_is_kept() -> None:
    """Before 2.7.4 silence means nothing, not even when a packet was answered after a heartbeat."""
    made = live(0.0, answers_heartbeats=False)
    made.receive(PACKET_ANSWER, 1.0)
    made.receive(from_radio(queueStatus=mesh_pb2.QueueStatus(free=3, mesh_packet_id=1)), 2.0)
    # Long after the heartbeat its answer is no answer to it.
    made.receive(HEARTBEAT_ANSWER, 20.0)
    for now in range(21, 2000, 3):
        assert made.tick(now).drop is None


def test_a_new_connection_learns_anew() -> None:
    """What one firmware does tells nothing of the next, nor does a heartbeat of before."""
    made = Session(lambda: NONCE, is_serial=False)
    made.open(0.0)
    made.receive(MY_INFO + COMPLETE + HEARTBEAT_ANSWER, 0.0)
    made.close()
    made.open(1.0)
    made.receive(HEARTBEAT_ANSWER + MY_INFO + COMPLETE, 2.0)
    for now in range(3, 2000, 3):
        assert made.tick(now).drop is None


def test_junk_is_passed_over() -> None:
    """Boot noise and log lines around and between frames, whole and torn, harm nothing."""
    made = session()
    made.open(0.0)
    noise = b"\x1b[34mDEBUG | ??:??:?? [Router] \x94 \xc3\r\n\x94\x94\xff\xff\x94"
    stream = noise + MY_INFO + noise + PACKET + noise + COMPLETE + noise
    steps = [made.receive(stream[at : at + 1], 1.0) for at in range(len(stream))]
    assert kinds(steps) == [EventKind.DUMP_FRAME] * 2 + [EventKind.DUMP_COMPLETE]


def test_malformed_frame_goes_no_further() -> None:
    """An app that got it would close its connection: it is counted, and the next one is taken."""
    made = session()
    made.open(0.0)
    malformed = [b"\x12\x7fcut off", b"\xff" * 11, b"\x0b", b"\x00"]
    step = made.receive(b"".join(map(encode, malformed)) + MY_INFO + COMPLETE, 1.0)
    assert kinds([step]) == [EventKind.DUMP_FRAME, EventKind.DUMP_COMPLETE]
    assert made.malformed_frames == len(malformed)
    assert kinds([made.receive(encode(malformed[0]), 2.0)]) == []
    assert made.malformed_frames == len(malformed) + 1


def _is_damaged(made: Session) -> bool:
    """Return what the type checker takes for unchanged otherwise."""
    return made.is_dump_damaged


def test_damage_is_that_of_the_dump_alone() -> None:
    """Neither of what another program had asked before, nor of what comes behind."""
    malformed = encode(b"\x12\x7fcut off")
    made = session(NONCE, 77, 78)
    made.open(0.0)
    made.receive(malformed + MY_INFO, 1.0)
    assert not _is_damaged(made)
    made.receive(COMPLETE + malformed, 2.0)
    assert not _is_damaged(made)
    made.receive(REBOOTED + MY_INFO + malformed, 3.0)
    assert _is_damaged(made)
    made.receive(from_radio(config_complete_id=77), 4.0)
    assert _is_damaged(made)
    made.open(5.0)
    assert not _is_damaged(made)


def test_empty_frame_is_part_of_the_dump() -> None:
    """The firmware writes one for a configuration it knows nothing of."""
    made = session()
    made.open(0.0)
    step = made.receive(encode(b""), 15.0)
    assert [(event.kind, event.payload, event.variant) for event in step.events] == [
        (EventKind.DUMP_FRAME, b"", None)
    ]
    assert made.tick(15.0 + PROGRESS_TIMEOUT).drop is None


def test_partial_frame_is_abandoned() -> None:
    """A header whose body never comes holds back good frames only for some seconds."""
    made = live(0.0, answers_heartbeats=False)
    torn = b"\x94\xc3\x01\xff"
    assert made.receive(torn + PACKET, 10.0).events == ()
    assert made.tick(10.0 + PARTIAL_FRAME_TIMEOUT).events == ()
    step = made.tick(10.1 + PARTIAL_FRAME_TIMEOUT)
    assert [encode(event.payload) for event in step.events] == [PACKET]


def test_each_partial_frame_has_its_own_time() -> None:
    """What is found to be half a frame behind an abandoned one is waited for as long again."""
    made = live(1000.0, answers_heartbeats=False)
    made.receive(b"\x94\xc3\x01\xff" + PACKET[:-1], 1010.0)
    assert made.tick(1016.0).events == ()
    assert made.tick(1017.0).events == ()
    assert [encode(event.payload) for event in made.receive(PACKET[-1:], 1018.0).events] == [PACKET]


def test_a_new_connection_forgets_half_a_frame() -> None:
    """What the old connection began is not completed by the new one."""
    made = Session(lambda: NONCE, is_serial=False)
    made.open(0.0)
    made.receive(b"\x94\xc3\x01\xff", 1.0)
    made.close()
    made.open(2.0)
    assert kinds([made.receive(MY_INFO, 3.0)]) == [EventKind.DUMP_FRAME]
    made.close()
    assert made.tick(1000.0) == Step(), "nothing is due while there is no connection"
