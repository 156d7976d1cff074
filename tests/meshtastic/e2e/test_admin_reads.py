"""Questions to the radio, answered from what is known of it or asked of it once."""

from collections.abc import Callable

from meshtastic.protobuf import admin_pb2, device_ui_pb2, mesh_pb2
import pytest

from custom_components.meshmonitor.mesh.model import LinkState
from tests.meshtastic.e2e.conftest import OpenStage
from tests.meshtastic.e2e.stage import PORT, Stage

BAD_REQUEST = 32
NOT_AUTHORIZED = 33
NO_INTERFACE = 4
NO_RESPONSE = 8
ADMIN = admin_pb2.AdminMessage
PACKAGE = "custom_components.meshmonitor.meshtastic"


def _set_owner(name: str) -> admin_pb2.AdminMessage:
    return ADMIN(set_owner=mesh_pb2.User(long_name=name, short_name="NEW"))


def _offline(stage: Stage) -> None:
    """Take the radio away for good."""
    stage.node.refuse()
    stage.node.drop()


def _without_pin(stage: Stage) -> device_ui_pb2.DeviceUIConfig:
    ui = device_ui_pb2.DeviceUIConfig.FromString(stage.node.state.ui.SerializeToString())
    ui.ClearField("pin_code")
    return ui


READS: list[tuple[admin_pb2.AdminMessage, Callable[[Stage], object], str]] = [
    (ADMIN(get_owner_request=True), lambda s: s.node.state.user, "get_owner_response"),
    *(
        (
            ADMIN(get_channel_request=index + 1),
            lambda s, index=index: s.node.state.channels[index],
            "get_channel_response",
        )
        for index in range(8)
    ),
    (
        ADMIN(get_config_request=ADMIN.ConfigType.LORA_CONFIG),
        lambda s: s.node.state.configs["lora"],
        "get_config_response",
    ),
    (
        ADMIN(get_module_config_request=ADMIN.ModuleConfigType.TELEMETRY_CONFIG),
        lambda s: s.node.state.modules["telemetry"],
        "get_module_config_response",
    ),
    (
        ADMIN(get_device_metadata_request=True),
        lambda s: s.node.state.metadata,
        "get_device_metadata_response",
    ),
    (ADMIN(get_ui_config_request=True), _without_pin, "get_ui_config_response"),
]


async def test_questions_are_answered_with_the_radio_away(stage: Stage) -> None:
    """What the dump holds is answered from it, to the asker alone, with admin off."""
    phone, other = await stage.phone(), await stage.phone()
    _offline(stage)
    for question, expected, field in READS:
        packet_id = phone.send_admin(question, stage.own, from_num=stage.own)
        await phone.wait_for(lambda packet_id=packet_id: phone.responses(packet_id))  # type: ignore[misc]
        (packet,) = phone.responses(packet_id)
        assert (getattr(packet, "from"), packet.to, packet.priority) == (stage.own, stage.own, 70)
        answer = ADMIN.FromString(packet.decoded.payload)
        assert answer.WhichOneof("payload_variant") == field
        assert getattr(answer, field) == expected(stage)
        assert len(phone.queue_statuses(packet_id)) == 1
    await other.barrier()
    assert other.packets() == []
    assert stage.node.packets() == []


FETCHED = [
    (
        ADMIN(get_canned_message_module_messages_request=True),
        "get_canned_message_module_messages_response",
    ),
    (ADMIN(get_ringtone_request=True), "get_ringtone_response"),
    (ADMIN(get_device_connection_status_request=True), "get_device_connection_status_response"),
    (
        ADMIN(get_node_remote_hardware_pins_request=True),
        "get_node_remote_hardware_pins_response",
    ),
]


async def test_what_the_dump_does_not_hold_is_fetched_once(stage: Stage) -> None:
    """Several askers cost the radio one question, and the answer is kept."""
    phones = [await stage.phone() for _ in range(3)]
    for question, field in FETCHED:
        ids = {phone: phone.send_admin(question, stage.own) for phone in phones}
        for phone, packet_id in ids.items():
            await phone.wait_for(lambda p=phone, i=packet_id: p.responses(i))  # type: ignore[misc]
            (packet,) = phone.responses(packet_id)
            answer = ADMIN.FromString(packet.decoded.payload)
            assert answer.WhichOneof("payload_variant") == field
            assert answer.session_passkey == b""
            assert len(phone.queue_statuses(packet_id)) == 1
            assert phone.packets(PORT.ADMIN_APP)[-1].decoded.request_id == packet_id
    assert [len(phone.packets(PORT.ADMIN_APP)) for phone in phones] == [len(FETCHED)] * 3
    _offline(stage)
    late = await stage.phone()
    for question, _ in FETCHED:
        assert isinstance(await late.ask_admin(question, stage.own), ADMIN)
    assert len(stage.node.packets(PORT.ADMIN_APP)) == len(FETCHED)


async def test_a_question_that_the_radio_does_not_answer_ends_visibly(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The asker is told, and who asks later asks anew."""
    monkeypatch.setattr(f"{PACKAGE}.fetches.FETCH_TIMEOUT", 0.3)
    phone = await stage.phone()
    stage.node.faults.mute = True
    assert await phone.ask_admin(ADMIN(get_ringtone_request=True), stage.own) == NO_RESPONSE
    stage.node.faults.mute = False
    stage.node.pump()
    await stage.settle()
    answer = await phone.ask_admin(ADMIN(get_ringtone_request=True), stage.own)
    assert isinstance(answer, ADMIN)
    assert answer.get_ringtone_response == stage.node.state.ringtone


async def test_a_question_to_a_radio_that_is_away_is_not_asked_when_nobody_waits_any_more(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each asker is told, and the radio does not come back to all that was asked in vain."""
    monkeypatch.setattr(f"{PACKAGE}.fetches.FETCH_TIMEOUT", 0.05)
    monkeypatch.setattr(f"{PACKAGE}.fetches.AWAY_TIMEOUT", 0.1)
    phone = await stage.phone()
    _offline(stage)
    await stage.until(lambda: stage.source.link.state is not LinkState.READY)
    for _ in range(3):
        assert await phone.ask_admin(ADMIN(get_ringtone_request=True), stage.own) == NO_INTERFACE
    assert stage.source.counters["queue_length"] == 0
    await stage.node.listen()
    await stage.until_ready(2)
    await stage.settle()
    assert stage.node.packets() == []


async def test_a_question_waits_for_a_radio_that_restarts(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who reads back what was set gets it as soon as the radio is there again."""
    monkeypatch.setattr(f"{PACKAGE}.fetches.FETCH_TIMEOUT", 0.0)
    phone = await stage.phone()
    _offline(stage)
    await stage.until(lambda: stage.source.link.state is not LinkState.READY)
    packet_id = phone.send_admin(ADMIN(get_ringtone_request=True), stage.own)
    await phone.barrier()
    await stage.node.listen()
    await phone.wait_for(lambda: phone.responses(packet_id))
    (packet,) = phone.responses(packet_id)
    assert packet.decoded.portnum == PORT.ADMIN_APP
    answer = ADMIN.FromString(packet.decoded.payload)
    assert answer.get_ringtone_response == stage.node.state.ringtone


async def test_an_error_in_answer_to_a_question_reaches_the_asker_at_once(stage: Stage) -> None:
    """A radio without the module answers with a routing packet, and so does the virtual node."""
    phone = await stage.phone()
    stage.node.state.modules["canned_message"].canned_message.enabled = False
    question = ADMIN(get_canned_message_module_messages_request=True)
    assert await phone.ask_admin(question, stage.own, timeout=3) == 0


async def test_an_asker_that_leaves_takes_nobodys_answer_along(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The question of one who left is the question of the next."""
    monkeypatch.setattr(f"{PACKAGE}.fetches.FETCH_TIMEOUT", 0.6)
    leaving, staying = await stage.phone(), await stage.phone()
    stage.node.faults.mute = True
    leaving.send_admin(ADMIN(get_ringtone_request=True), stage.own)
    await leaving.barrier()
    await leaving.close()
    await stage.until(lambda: stage.client_count == 1)
    packet_id = staying.send_admin(ADMIN(get_ringtone_request=True), stage.own)
    await staying.barrier()
    stage.node.faults.mute = False
    stage.node.pump()
    await staying.wait_for(lambda: staying.responses(packet_id))
    (packet,) = staying.responses(packet_id)
    assert packet.decoded.portnum == PORT.ADMIN_APP
    assert len(stage.node.packets(PORT.ADMIN_APP)) == 1


async def test_a_question_for_what_there_is_not_is_refused(stage: Stage) -> None:
    """Nothing is asked of the radio that no radio has."""
    phone = await stage.phone()
    for question in (
        ADMIN(get_channel_request=0),
        ADMIN(get_channel_request=9),
        ADMIN(get_config_request=99),  # type: ignore[arg-type]
    ):
        packet_id = phone.send_admin(question, stage.own, want_response=True)
        assert await phone.outcome(packet_id) == [BAD_REQUEST]
    assert stage.node.packets() == []


async def test_a_managed_radio_is_not_asked(open_stage: OpenStage) -> None:
    """It would leave the asker without an answer."""
    stage = await open_stage(started=False, allow_admin_commands=True)
    stage.node.state.configs["security"].security.is_managed = True
    await stage.start()
    phone = await stage.phone()
    for message in (ADMIN(get_ringtone_request=True), _set_owner("x")):
        assert await phone.ask_admin(message, stage.own) == NOT_AUTHORIZED
    assert stage.node.packets() == []


async def test_a_question_for_which_there_is_no_room_is_answered_so(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, and it may be asked again."""
    phone = await stage.phone()
    question = ADMIN(get_ringtone_request=True)
    with monkeypatch.context() as patch:
        patch.setattr(f"{PACKAGE}.pacing.MAX_QUEUED", 0)
        assert await phone.ask_admin(question, stage.own) == NO_RESPONSE
    answer = await phone.ask_admin(question, stage.own)
    assert isinstance(answer, admin_pb2.AdminMessage)
    assert answer.get_ringtone_response == stage.node.state.ringtone


async def test_a_source_that_stops_leaves_no_question_open(stage: Stage) -> None:
    """Nor the timer that would give it up."""
    phone = await stage.phone()
    stage.node.faults.mute = True
    phone.send_admin(ADMIN(get_ringtone_request=True), stage.own)
    fetches = stage.source._switchboard._fetches
    await stage.until(lambda: fetches._timers)
    (timer,) = fetches._timers.values()
    await stage.source.stop()
    assert timer.cancelled()
    assert fetches._timers == {}
