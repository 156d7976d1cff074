"""Administration: every command, to every kind of addressee, with every right."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Final

from google.protobuf.descriptor import FieldDescriptor
from meshtastic.protobuf import admin_pb2, mesh_pb2
import pytest

from custom_components.meshmonitor.meshtastic import client_frame, wire
from custom_components.meshmonitor.meshtastic.admin import AdminQuery
from custom_components.meshmonitor.meshtastic.decision import (
    Answer,
    Decision,
    Fetch,
    Forward,
    RefusalReason,
    Refuse,
    RoutingError,
    Swallow,
)
from custom_components.meshmonitor.meshtastic.policy import ClientRights, decide
from tests.simulators.recording import MESHTASTIC_2_7, MESHTASTIC_2_8, read_recording

from .judging import FOREIGN, NOTHING, REMOTE, judge
from .phone import BROADCAST, NO_LORA, PORT, admin_packet
from .test_admin import DESTRUCTIVE, READS
from .view import RecordedView

ADMIN: Final = ClientRights(admin=True)
EVERYTHING: Final = ClientRights(admin=True, destructive=True)
RIGHTS: Final = (NOTHING, ADMIN, EVERYTHING)

NOT_IN_THE_DUMP: Final = {
    "get_canned_message_module_messages_request",
    "get_ringtone_request",
    "get_device_connection_status_request",
    "get_node_remote_hardware_pins_request",
}
VARIANTS: Final = [
    field
    for field in admin_pb2.AdminMessage.DESCRIPTOR.fields
    if field.containing_oneof is not None
]
SHARED_NODE: Final = 0x0A0000AA
SHARED_KEY: Final = bytes(range(32))


@pytest.fixture
def view() -> RecordedView:
    """Return a radio that knows one contact by its key."""
    view = RecordedView.recorded()
    view.users[SHARED_NODE] = mesh_pb2.User(
        id="!0a0000aa", long_name="Known", public_key=SHARED_KEY
    ).SerializeToString()
    return view


def command(field: FieldDescriptor) -> bytes:
    """Return an ordinary message of a variant."""
    message = admin_pb2.AdminMessage()
    if field.name == "add_contact":
        message.add_contact.node_num = SHARED_NODE
        message.add_contact.user.public_key = SHARED_KEY
    elif field.type == FieldDescriptor.TYPE_MESSAGE:
        getattr(message, field.name).SetInParent()
    elif field.type == FieldDescriptor.TYPE_STRING:
        setattr(message, field.name, "x")
    else:
        setattr(message, field.name, 1)
    return message.SerializeToString()


def addressed(view: RecordedView) -> Iterator[tuple[int, int]]:
    """Yield every kind of addressee with every kind of sender."""
    yield from product((view.own, BROADCAST, NO_LORA, REMOTE), (0, view.own, FOREIGN))


def verdict(decision: Decision) -> str:
    """Return a decision in a word or two."""
    match decision:
        case Refuse(error=error):
            return f"refused {error.name}"
        case Forward(mutates=mutates):
            return "changes the radio" if mutates else "forwarded"
        case _:
            return type(decision).__name__.lower()


def expected(
    name: str | None, to: int, sender: int, view: RecordedView, rights: ClientRights
) -> str:
    """Return what the rules say, in words, of a variant or of an unknown one."""
    local = to in {view.own, NO_LORA}
    if sender == FOREIGN:
        return "refused BAD_REQUEST"
    if name is None:
        return "refused NOT_AUTHORIZED"
    if name.endswith("_response"):
        return "refused BAD_REQUEST"
    if to == BROADCAST:
        return "refused NOT_AUTHORIZED"
    if local and name in READS:
        return "fetch" if name in NOT_IN_THE_DUMP else "answer"
    if local and name in {"set_time_only", "add_contact"}:
        return "swallow"
    if not rights.admin or (name in DESTRUCTIVE and not rights.destructive):
        return "refused NOT_AUTHORIZED"
    return "changes the radio" if local else "forwarded"


@pytest.mark.parametrize("field", VARIANTS, ids=lambda field: field.name)
def test_every_variant(field: FieldDescriptor, view: RecordedView) -> None:
    """Each command is judged by its class, its addressee and the client's rights alone."""
    for (to, sender), rights in product(addressed(view), RIGHTS):
        packet = admin_packet(command(field), to=to, sender=sender)
        decision = judge(packet, view, rights)
        outcome = (to, sender, rights)
        assert (*outcome, verdict(decision)) == (
            *outcome,
            expected(field.name, to, sender, view, rights),
        )
        if isinstance(decision, Forward):
            assert decision.packet.raw == packet.SerializeToString()


@pytest.mark.parametrize("tag", [9, 28, 50, 68, *range(105, 201)])
def test_unknown_variants(tag: int, view: RecordedView) -> None:
    """What this program has no rule for never passes, with whatever right."""
    payloads = (wire.varint_field(tag, 1), wire.bytes_field(tag, b""), wire.fixed32_field(tag, 1))
    for payload, (to, sender), rights in product(payloads, addressed(view), RIGHTS):
        decision = judge(admin_packet(payload, to=to, sender=sender), view, rights)
        assert verdict(decision) == expected(None, to, sender, view, rights)


def without_address(answer: bytes) -> bytes:
    """Return an answer without the deprecated `macaddr`, which 2.8 leaves out of its dump."""
    owner = wire.last(wire.scan(answer), 4)
    if owner is None:
        return answer
    return wire.bytes_field(4, wire.replace_field(wire.value_bytes(answer, owner), 4, b""))


@pytest.mark.parametrize("path", [MESHTASTIC_2_7, MESHTASTIC_2_8], ids=["2.7", "2.8"])
def test_answers_are_those_of_the_radio(path: Path) -> None:
    """What is answered from the mirror is, byte for byte, what the real radio answered."""
    view = RecordedView.recorded(path)
    entries = [entry for entry in read_recording(path) if entry.kind == "frame"]
    answers: dict[int, bytes] = {}
    for entry in entries:
        if entry.sender == "node":
            packet = mesh_pb2.FromRadio.FromString(entry.data).packet
            if packet.decoded.portnum == PORT.ADMIN_APP:
                answers[packet.decoded.request_id] = packet.decoded.payload
    compared = 0
    for entry in entries:
        if entry.sender != "client":
            continue
        decision = decide(client_frame.parse(entry.data), view, ClientRights(secrets=True), now=0.0)
        if isinstance(decision, Answer) and decision.portnum == PORT.ADMIN_APP:
            answer = wire.replace_field(answers[decision.packet.id], 101, b"")
            assert without_address(answer) == without_address(decision.payload)
            compared += 1
    assert compared == 6


@pytest.mark.parametrize("index", range(8))
def test_channels(index: int, view: RecordedView) -> None:
    """A channel is asked for by its index + 1, and every slot is answered."""
    request = admin_pb2.AdminMessage(get_channel_request=index + 1)
    decision = judge(admin_packet(request, to=view.own), view)
    assert isinstance(decision, Answer)
    answer = admin_pb2.AdminMessage.FromString(decision.payload)
    assert answer.get_channel_response.index == index


@pytest.mark.parametrize(
    "request_message",
    [
        admin_pb2.AdminMessage(get_channel_request=0),
        admin_pb2.AdminMessage(get_channel_request=9),
        admin_pb2.AdminMessage(get_channel_request=0xFFFFFFFF),
        admin_pb2.AdminMessage.FromString(wire.varint_field(5, 4711)),
        admin_pb2.AdminMessage.FromString(wire.varint_field(7, 0x7FFFFFFF)),
    ],
)
def test_settings_that_no_radio_has(
    request_message: admin_pb2.AdminMessage, view: RecordedView
) -> None:
    """A client cannot have anything whatever fetched and kept."""
    decision = judge(admin_packet(request_message, to=view.own), view)
    assert isinstance(decision, Refuse)
    assert (decision.reason, decision.error) == (
        RefusalReason.NO_SUCH_SETTING,
        RoutingError.BAD_REQUEST,
    )


def test_what_the_dump_lacks_is_fetched_once(view: RecordedView) -> None:
    """A question without an answer at hand is asked once; then the answer is there."""
    request = admin_packet(
        admin_pb2.AdminMessage(get_ringtone_request=True), to=view.own, channel=1
    )
    decision = judge(request, view)
    assert isinstance(decision, Fetch)
    assert decision.query == AdminQuery(14)
    assert decision.packet.id == request.id

    answer = admin_pb2.AdminMessage(get_ringtone_response="beep")
    view.answers[decision.query] = admin_pb2.AdminMessage(
        get_ringtone_response="beep", session_passkey=b"12345678"
    ).SerializeToString()
    again = judge(request, view)
    assert isinstance(again, Answer)
    assert again.payload == answer.SerializeToString()


def test_config_that_the_radio_left_out_is_fetched(view: RecordedView) -> None:
    """A module that the dump did not hold is asked for by its type."""
    del view.module_configs[5]
    request = admin_pb2.AdminMessage(
        get_module_config_request=admin_pb2.AdminMessage.RANGETEST_CONFIG
    )
    decision = judge(admin_packet(request, to=view.own), view)
    assert isinstance(decision, Fetch)
    assert decision.query == AdminQuery(7, 4)


@pytest.mark.parametrize(
    ("rights", "sees"),
    [
        (NOTHING, False),
        (ClientRights(secrets=True), True),
        (ADMIN, True),
        (ClientRights(destructive=True), False),
    ],
)
def test_answers_hold_no_secrets(rights: ClientRights, sees: bool, view: RecordedView) -> None:
    """The private key is answered only to who may see it."""
    request = admin_pb2.AdminMessage(get_config_request=admin_pb2.AdminMessage.SECURITY_CONFIG)
    decision = judge(admin_packet(request, to=view.own), view, rights)
    assert isinstance(decision, Answer)
    security = admin_pb2.AdminMessage.FromString(decision.payload).get_config_response.security
    assert len(security.public_key) == 32
    assert bool(security.private_key) == sees


def test_damaged_settings_are_not_answered(view: RecordedView) -> None:
    """What cannot be searched for secrets does not leave."""
    view.configs[8] = wire.bytes_field(8, b"\x12\x7f" + b"x" * 5)
    request = admin_pb2.AdminMessage(get_config_request=admin_pb2.AdminMessage.SECURITY_CONFIG)
    decision = judge(admin_packet(request, to=view.own), view)
    assert isinstance(decision, Refuse)
    assert decision.reason is RefusalReason.NOT_READY


@pytest.mark.parametrize(
    ("want_ack", "want_response", "ack"),
    [(True, False, True), (False, True, True), (True, True, True), (False, False, False)],
)
def test_time_is_swallowed(
    want_ack: bool, want_response: bool, ack: bool, view: RecordedView
) -> None:
    """The clock's setting is acknowledged if its sender wants to know, and goes nowhere."""
    packet = admin_packet(
        admin_pb2.AdminMessage(set_time_only=1_800_000_000),
        to=view.own,
        sender=view.own,
        want_ack=want_ack,
        want_response=want_response,
    )
    for rights in RIGHTS:
        decision = judge(packet, view, rights)
        assert isinstance(decision, Swallow)
        assert decision.ack is ack


def contact(key: bytes, *, num: int = SHARED_NODE, ignore: bool = False) -> bytes:
    """Return the message that adds a contact."""
    message = admin_pb2.AdminMessage()
    message.add_contact.node_num = num
    message.add_contact.should_ignore = ignore
    message.add_contact.manually_verified = True
    message.add_contact.user.long_name = "Contact"
    message.add_contact.user.public_key = key
    return message.SerializeToString()


@pytest.mark.parametrize(
    ("message", "without", "with_admin"),
    [
        pytest.param(contact(SHARED_KEY), "swallow", "swallow", id="same key"),
        pytest.param(
            contact(bytes(32)), "refused NOT_AUTHORIZED", "refused NOT_AUTHORIZED", id="other key"
        ),
        pytest.param(contact(b""), "refused NOT_AUTHORIZED", "refused NOT_AUTHORIZED", id="no key"),
        pytest.param(
            contact(SHARED_KEY, num=0x0A0000BB),
            "refused NOT_AUTHORIZED",
            "changes the radio",
            id="unknown node",
        ),
        pytest.param(
            contact(SHARED_KEY, ignore=True),
            "refused NOT_AUTHORIZED",
            "changes the radio",
            id="node to ignore",
        ),
        pytest.param(
            wire.bytes_field(66, wire.varint_field(1, SHARED_NODE)),
            "refused BAD_REQUEST",
            "refused BAD_REQUEST",
            id="without a user",
        ),
        pytest.param(
            wire.bytes_field(66, b"\x12\x7f"),
            "refused BAD_REQUEST",
            "refused BAD_REQUEST",
            id="damaged",
        ),
    ],
)
def test_contacts(message: bytes, without: str, with_admin: str, view: RecordedView) -> None:
    """A contact never replaces the key by which the radio knows a node."""
    for to in (view.own, NO_LORA):
        assert verdict(judge(admin_packet(message, to=to), view)) == without
        assert verdict(judge(admin_packet(message, to=to), view, EVERYTHING)) == with_admin


def test_wrong_contact_to_another_node(view: RecordedView) -> None:
    """A key that contradicts the radio's own is not taught to others either."""
    decision = judge(admin_packet(contact(bytes(32)), to=REMOTE), view, EVERYTHING)
    assert isinstance(decision, Refuse)
    assert decision.reason is RefusalReason.CONTACT_CONFLICT


def test_contact_whose_key_the_radio_lacks(view: RecordedView) -> None:
    """A key for a node that has none is a change, not a contradiction."""
    view.users[SHARED_NODE] = mesh_pb2.User(long_name="Keyless").SerializeToString()
    assert verdict(judge(admin_packet(contact(SHARED_KEY), to=view.own), view)) == (
        "refused NOT_AUTHORIZED"
    )
    assert verdict(judge(admin_packet(contact(b""), to=view.own), view)) == "swallow"


@pytest.mark.parametrize("field", VARIANTS, ids=lambda field: field.name)
def test_commands_that_are_given_once(field: FieldDescriptor, view: RecordedView) -> None:
    """A radio that went away amid a restart is not restarted again when it comes back."""
    once = {*DESTRUCTIVE, "send_input_event", "toggle_muted_node", "commit_edit_settings"}
    decision = judge(admin_packet(command(field), to=view.own), view, EVERYTHING)
    if isinstance(decision, Forward):
        assert decision.repeatable is (field.name not in once)
    else:
        assert field.name not in once


def test_managed_radio(view: RecordedView) -> None:
    """A managed radio obeys no client: that is said, where it would keep silent."""
    view.managed = True
    ask_config = admin_pb2.AdminMessage(get_config_request=admin_pb2.AdminMessage.LORA_CONFIG)
    ask_ringtone = admin_pb2.AdminMessage(get_ringtone_request=True)
    change = admin_pb2.AdminMessage(set_owner=mesh_pb2.User(long_name="Mine"))
    assert isinstance(judge(admin_packet(ask_config, to=view.own), view), Answer)
    for message, rights in ((ask_ringtone, NOTHING), (change, EVERYTHING)):
        decision = judge(admin_packet(message, to=view.own), view, rights)
        assert isinstance(decision, Refuse)
        assert decision.reason is RefusalReason.MANAGED
    assert isinstance(judge(admin_packet(change, to=REMOTE), view, EVERYTHING), Forward)


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(wire.varint_field(3, 1) + wire.varint_field(94, 1), id="question first"),
        pytest.param(wire.varint_field(94, 1) + wire.varint_field(3, 1), id="question last"),
        pytest.param(wire.varint_field(3, 1) + wire.varint_field(201, 1), id="with a newer one"),
        pytest.param(b"\x0a\x7f", id="damaged"),
        pytest.param(b"", id="empty"),
    ],
)
def test_ambiguous_commands(payload: bytes, view: RecordedView) -> None:
    """A command that hides behind another passes for nobody."""
    for (to, _), rights in product(addressed(view), RIGHTS):
        decision = judge(admin_packet(payload, to=to), view, rights)
        assert isinstance(decision, Refuse)
        assert (decision.reason, decision.error) == (
            RefusalReason.MALFORMED,
            RoutingError.BAD_REQUEST,
        )


def test_command_hidden_by_repetition(view: RecordedView) -> None:
    """A second port number, payload or packet does not carry a command past the gate."""
    reset = admin_pb2.AdminMessage(factory_reset_device=1).SerializeToString()
    to = wire.fixed32_field(2, view.own)
    text = wire.varint_field(1, 1) + wire.bytes_field(2, b"hi")
    hidden = wire.varint_field(1, 6) + wire.bytes_field(2, reset)
    packets = [
        to + wire.bytes_field(4, hidden + text),
        to + wire.bytes_field(4, text + hidden),
        to + wire.bytes_field(4, hidden) + wire.bytes_field(4, text),
        to + wire.bytes_field(4, text) + wire.bytes_field(4, hidden),
        to + wire.bytes_field(4, wire.varint_field(1, 1 << 32 | 6) + wire.bytes_field(2, reset)),
    ]
    frames = [wire.bytes_field(1, packet) for packet in packets]
    frames += [frames[0] + wire.bytes_field(1, to + wire.bytes_field(4, text))]
    for frame in frames:
        decision = decide(client_frame.parse(frame), view, NOTHING, now=0.0)
        assert isinstance(decision, Refuse)
        assert decision.reason is RefusalReason.MALFORMED
