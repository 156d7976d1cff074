"""What a client may do to the radio, by where it is and what the owner allows."""

from meshtastic.protobuf import admin_pb2, channel_pb2, config_pb2, mesh_pb2
import pytest

from custom_components.meshmonitor.meshtastic import wire
from tests.clients.meshtastic_phone import BROADCAST, MeshtasticPhone, frame
from tests.meshtastic.e2e.conftest import OpenStage
from tests.meshtastic.e2e.stage import PORT, Stage

BAD_REQUEST = 32
NOT_AUTHORIZED = 33
ADMIN = admin_pb2.AdminMessage
PACKAGE = "custom_components.meshmonitor.meshtastic"


def _set_owner(name: str) -> admin_pb2.AdminMessage:
    return ADMIN(set_owner=mesh_pb2.User(long_name=name, short_name="NEW"))


MUTATING = [
    _set_owner("Changed"),
    ADMIN(set_channel=channel_pb2.Channel(index=3, role=channel_pb2.Channel.Role.SECONDARY)),
    ADMIN(set_config=config_pb2.Config(display=config_pb2.Config.DisplayConfig(screen_on_secs=9))),
    ADMIN(set_favorite_node=0x1234),
    ADMIN(remove_by_nodenum=0x1234),
    ADMIN(set_ringtone_message="new"),
    ADMIN(begin_edit_settings=True),
    ADMIN(commit_edit_settings=True),
    ADMIN(set_fixed_position=mesh_pb2.Position(latitude_i=1)),
]
DESTRUCTIVE = [
    ADMIN(reboot_seconds=5),
    ADMIN(shutdown_seconds=5),
    ADMIN(factory_reset_device=1),
    ADMIN(factory_reset_config=1),
    ADMIN(nodedb_reset=True),
    ADMIN(enter_dfu_mode_request=True),
    ADMIN(delete_file_request="/prefs/device.proto"),
]


async def test_changes_are_refused_unless_allowed(stage: Stage) -> None:
    """Whatever stands in ``from`` and ``to``: the radio would obey all of them."""
    phone, other = await stage.phone(), await stage.phone()
    for message in (*MUTATING, *DESTRUCTIVE):
        for from_num, to in (
            (0, stage.own),
            (stage.own, stage.own),
            (0, BROADCAST),
            (0, 1),
            (0, stage.node.peer(0).num),
        ):
            packet_id = phone.send_admin(message, to, from_num=from_num)
            assert await phone.outcome(packet_id) == [NOT_AUTHORIZED]
            assert len(phone.queue_statuses(packet_id)) == 1
    await stage.settle()
    assert stage.node.packets() == []
    assert other.packets(PORT.ROUTING_APP) == []


async def test_an_administrator_may_change_settings_and_not_destroy_them(
    open_stage: OpenStage,
) -> None:
    """The second permission is one of its own."""
    stage = await open_stage(allow_admin_commands=True)
    phone = await stage.phone()
    packet_id = phone.send_admin(_set_owner("Changed"), stage.own)
    assert await phone.outcome(packet_id) == [0]
    assert stage.node.state.user.long_name == "Changed"
    for message in DESTRUCTIVE:
        packet_id = phone.send_admin(message, stage.own)
        assert await phone.outcome(packet_id) == [NOT_AUTHORIZED]
    assert len(stage.node.admin_messages()) == 1


async def test_both_permissions_together_let_a_reset_pass(open_stage: OpenStage) -> None:
    """The owner asked for it twice."""
    stage = await open_stage(allow_admin_commands=True, allow_destructive_commands=True)
    phone = await stage.phone()
    packet_id = phone.send_admin(ADMIN(nodedb_reset=True), stage.own)
    assert await phone.outcome(packet_id) == [0]
    assert stage.node.restarts == ["nodedb_reset"]


async def test_the_second_permission_alone_is_none(open_stage: OpenStage) -> None:
    """Who may not administer may not destroy either."""
    stage = await open_stage(allow_destructive_commands=True)
    phone = await stage.phone()
    packet_id = phone.send_admin(ADMIN(factory_reset_device=1), stage.own)
    assert await phone.outcome(packet_id) == [NOT_AUTHORIZED]
    assert stage.node.packets() == []


async def test_only_some_networks_may_administer(open_stage: OpenStage) -> None:
    """The same command from two addresses, and the switch while both are connected."""
    stage = await open_stage(allow_admin_commands=True, admin_networks=["127.0.0.2/32"])
    user = await stage.phone(local_host="127.0.0.1")
    admin = await stage.phone(local_host="127.0.0.2")
    refused = user.send_admin(_set_owner("Theirs"), stage.own)
    assert await user.outcome(refused) == [NOT_AUTHORIZED]
    taken = admin.send_admin(_set_owner("Ours"), stage.own)
    assert await admin.outcome(taken) == [0]
    assert stage.node.state.user.long_name == "Ours"
    assert [client.is_admin for client in stage.source.virtual_node.status.clients] == [False, True]

    await stage.source.apply_virtual_node(stage.options(allow_admin_commands=False))
    refused = admin.send_admin(_set_owner("Late"), stage.own)
    assert await admin.outcome(refused) == [NOT_AUTHORIZED]
    assert not user.closed
    assert stage.source.link.sessions == 1


async def test_admission_is_by_network(open_stage: OpenStage) -> None:
    """Who is not in an allowed network hears nothing, and the others are not disturbed."""
    stage = await open_stage(allowed_networks=["127.0.0.1/32"])
    phone = await stage.phone()
    stranger = await stage.connect(local_host="127.0.0.3")
    await stranger.wait_closed()
    assert stranger.payloads == []
    assert not phone.closed
    assert stage.source.virtual_node.status.rejected == {"network_not_allowed": 1}


async def test_remote_administration_follows_the_same_gate(open_stage: OpenStage) -> None:
    """Commands to other nodes pass when changes are allowed, and destructive ones twice allowed."""
    stage = await open_stage(allow_admin_commands=True)
    phone = await stage.phone()
    peer = stage.node.peer(0).num
    passed = phone.send_admin(ADMIN(get_owner_request=True), peer)
    assert await phone.outcome(passed) == [NOT_AUTHORIZED]
    assert len(stage.node.packets(PORT.ADMIN_APP)) == 1
    assert getattr(phone.responses(passed)[0], "from") == peer
    refused = phone.send_admin(ADMIN(reboot_seconds=1), peer)
    assert await phone.outcome(refused) == [NOT_AUTHORIZED]
    assert getattr(phone.responses(refused)[0], "from") == stage.own
    assert len(stage.node.packets(PORT.ADMIN_APP)) == 1


async def test_a_remote_answer_goes_to_its_asker_alone(open_stage: OpenStage) -> None:
    """What another node tells its administrator is for no one else."""
    stage = await open_stage(allow_admin_commands=True)
    phone, other = await stage.phone(), await stage.phone()
    peer = stage.node.peer(0)
    packet_id = phone.send_admin(ADMIN(get_owner_request=True), peer.num)
    await stage.node.wait_for(lambda: stage.node.packets(PORT.ADMIN_APP))
    answer = stage.node.mesh.from_air(
        peer,
        PORT.ADMIN_APP,
        ADMIN(get_owner_response=peer.user, session_passkey=b"12345678").SerializeToString(),
        now=0,
        to=stage.own,
        request_id=packet_id,
    )
    await stage.node.send_packet(answer)
    await stage.settle()
    assert [p.decoded.request_id for p in phone.packets(PORT.ADMIN_APP)] == [packet_id]
    assert other.packets(PORT.ADMIN_APP) == []


async def test_the_time_is_swallowed_and_acknowledged(stage: Stage) -> None:
    """Apps set it at each connect; Home Assistant's clock is the better one."""
    phone = await stage.phone()
    packet_id = phone.send_admin(ADMIN(set_time_only=1_800_000_000), stage.own)
    assert await phone.outcome(packet_id) == [0]
    silent = phone.send_admin(ADMIN(set_time_only=1_800_000_000), stage.own, want_ack=False)
    await phone.barrier()
    assert len(phone.queue_statuses(silent)) == 1
    assert phone.responses(silent) == []
    assert stage.node.packets() == []


async def test_a_contact_that_is_known_is_swallowed_and_a_wrong_one_never_passes(
    open_stage: OpenStage,
) -> None:
    """A wrong key would end all private messages with that node: no permission lets it pass."""
    for allowed in (False, True):
        stage = await open_stage(allow_admin_commands=allowed)
        phone = await stage.phone()
        peer = stage.node.peer(0)
        contact = admin_pb2.SharedContact(node_num=peer.num, user=peer.user)
        assert await phone.ask_admin(ADMIN(add_contact=contact), stage.own) == 0
        contact.user.public_key = bytes(range(32))
        assert await phone.ask_admin(ADMIN(add_contact=contact), stage.own) == NOT_AUTHORIZED
        assert stage.node.packets() == []
        stranger = admin_pb2.SharedContact(
            node_num=77, user=mesh_pb2.User(id="!0000004d", public_key=bytes(range(32)))
        )
        outcome = await phone.ask_admin(ADMIN(add_contact=stranger), stage.own)
        assert outcome == (0 if allowed else NOT_AUTHORIZED)
        assert len(stage.node.packets()) == int(allowed)


async def test_what_apps_do_by_themselves_alarms_nobody(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A time zone at each connection, a contact with each private text: refused, and not told."""
    monkeypatch.setattr(f"{PACKAGE}.virtual_node.NOTIFICATION_INTERVAL", 0.0)
    stage.node.state.configs["device"].device.tzdef = ""
    await stage.node.reboot()
    await stage.until_ready(2)
    phone = await stage.phone()
    config = config_pb2.Config()
    config.CopyFrom(stage.node.state.configs["device"])
    config.device.tzdef = "CET-1CEST,M3.5.0,M10.5.0/3"
    packet_id = phone.send_admin(ADMIN(set_config=config), stage.own)
    assert await phone.outcome(packet_id) == [NOT_AUTHORIZED]
    assert len(phone.queue_statuses(packet_id)) == 1
    user = mesh_pb2.User(long_name="Long ago", public_key=b"k" * 32)
    contact = admin_pb2.SharedContact(node_num=0x99, user=user)
    for _ in range(3):
        packet_id = phone.send_admin(ADMIN(add_contact=contact), stage.own)
        assert await phone.outcome(packet_id) == [NOT_AUTHORIZED]
    await phone.barrier()
    assert len(phone.notifications()) == 1
    assert "contact" in phone.notifications()[0]
    # What a user does is another thing.
    config.device.role = config_pb2.Config.DeviceConfig.Role.ROUTER
    packet_id = phone.send_admin(ADMIN(set_config=config), stage.own)
    assert await phone.outcome(packet_id) == [NOT_AUTHORIZED]
    await phone.wait_for(lambda: len(phone.notifications()) == 2)
    assert stage.node.packets() == []


async def test_what_is_no_known_command_is_refused_whoever_sends_it(
    open_stage: OpenStage,
) -> None:
    """An unknown tag, an answer, nothing, two commands, garbage: default deny."""
    stage = await open_stage(allow_admin_commands=True, allow_destructive_commands=True)
    phone = await stage.phone()
    for payload in (
        wire.varint_field(250, 1),
        ADMIN(get_owner_response=mesh_pb2.User()).SerializeToString(),
        b"",
        wire.varint_field(3, 1) + wire.varint_field(97, 5),
        b"\xff",
    ):
        packet_id = phone.send_data(PORT.ADMIN_APP, payload, to=stage.own)
        (error,) = await phone.outcome(packet_id)
        assert error in {NOT_AUTHORIZED, BAD_REQUEST}
    assert stage.node.packets() == []


# Other ports


async def test_a_node_introduces_itself_by_its_own_identity_only(stage: Stage) -> None:
    """Other nodes keep whatever name and key goes out under the radio's number."""
    phone = await stage.phone()
    own = stage.node.state.user
    peer = stage.node.peer(0).num
    good = phone.send_data(PORT.NODEINFO_APP, own.SerializeToString(), to=peer, want_response=True)
    await phone.wait_for(lambda: phone.responses(good))
    assert phone.responses(good)[0].decoded.portnum == PORT.NODEINFO_APP
    for forged in (
        mesh_pb2.User(id=own.id, long_name="Someone else", public_key=own.public_key),
        mesh_pb2.User(id=own.id, long_name=own.long_name, public_key=bytes(32)),
        mesh_pb2.User(),
    ):
        bad = phone.send_data(PORT.NODEINFO_APP, forged.SerializeToString(), to=BROADCAST)
        assert await phone.outcome(bad) == [NOT_AUTHORIZED]
    assert len(stage.node.packets(PORT.NODEINFO_APP)) == 1


def _lend(phone: MeshtasticPhone, stage: Stage, latitude: int) -> int:
    position = mesh_pb2.Position(latitude_i=latitude, longitude_i=1)
    return phone.send_data(PORT.POSITION_APP, position.SerializeToString(), to=stage.own)


async def test_one_phone_at_a_time_lends_its_position(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second is answered and not passed on, until the first leaves."""
    first, second = await stage.phone(), await stage.phone()
    assert await first.outcome(_lend(first, stage, 100)) == [0]
    ignored = _lend(second, stage, 200)
    assert await second.outcome(ignored) == [0]
    assert len(second.queue_statuses(ignored)) == 1
    assert stage.node.state.position.latitude_i == 100
    await first.close()
    await stage.until(lambda: stage.client_count == 1)
    assert await second.outcome(_lend(second, stage, 300)) == [0]
    assert stage.node.state.position.latitude_i == 300

    third = await stage.phone()
    monkeypatch.setattr(f"{PACKAGE}.switchboard.LENDER_TIMEOUT", 0.0)
    assert await third.outcome(_lend(third, stage, 400)) == [0]
    assert stage.node.state.position.latitude_i == 400


@pytest.mark.parametrize(("choice", "taken"), [("all", [100, 200]), ("none", [])])
async def test_all_or_none_may_lend_their_position(
    open_stage: OpenStage, choice: str, taken: list[int]
) -> None:
    """The owner chooses."""
    stage = await open_stage(shared_position=choice)
    first, second = await stage.phone(), await stage.phone()
    assert await first.outcome(_lend(first, stage, 100)) == [0]
    assert await second.outcome(_lend(second, stage, 200)) == [0]
    positions = [
        mesh_pb2.Position.FromString(p.decoded.payload).latitude_i
        for p in stage.node.packets(PORT.POSITION_APP)
    ]
    assert positions == taken


@pytest.mark.parametrize("case", ["simulator", "foreign", "nobody", "encrypted", "traceroute"])
async def test_what_no_client_needs_is_refused(open_stage: OpenStage, case: str) -> None:
    """Even an administrator has no use for it."""
    stage = await open_stage(allow_admin_commands=True, allow_destructive_commands=True)
    phone = await stage.phone()
    error = BAD_REQUEST
    match case:
        case "simulator":
            packet_id = phone.send_data(PORT.SIMULATOR_APP, b"x")
        case "foreign":
            packet_id = phone.send_text("x", from_num=stage.node.peer(0).num)
        case "nobody":
            packet_id = phone.send_text("x", to=0)
        case "traceroute":
            packet_id = phone.send_data(PORT.TRACEROUTE_APP, b"", to=BROADCAST)
        case _:
            error = NOT_AUTHORIZED
            packet_id = 4
            packet = mesh_pb2.MeshPacket(to=stage.own, id=4, encrypted=b"anything", channel=8)
            phone.send(mesh_pb2.ToRadio(packet=packet))
    assert await phone.outcome(packet_id) == [error]
    assert len(phone.queue_statuses(packet_id)) == 1
    assert len(phone.notifications()) == 1
    await stage.settle()
    assert stage.node.packets() == []


async def test_files_are_for_those_who_may_destroy(open_stage: OpenStage) -> None:
    """The file system holds the private key."""
    step = mesh_pb2.ToRadio()
    step.xmodemPacket.buffer = b"/prefs/security.proto"
    for options, passes in (
        ({}, False),
        ({"allow_admin_commands": True}, False),
        ({"allow_admin_commands": True, "allow_destructive_commands": True}, True),
    ):
        stage = await open_stage(**options)
        phone, other = await stage.phone(), await stage.phone()
        phone.send(step)
        await phone.barrier()
        if not passes:
            assert len(phone.notifications()) == 1
            assert stage.source.counters["refused_file_transfer"] == 1
            continue
        await stage.node.wait_for(lambda stage=stage: stage.node.tally["xmodem"])  # type: ignore[misc]
        answer = mesh_pb2.FromRadio(xmodemPacket=step.xmodemPacket).SerializeToString()
        await stage.node.send_raw(answer)
        await stage.settle()
        assert answer in phone.payloads
        assert answer not in other.payloads
        assert stage.node.tally["xmodem"] == 1


async def test_a_field_that_stands_twice_is_refused(stage: Stage) -> None:
    """The radio's parser and others take different ones of the two."""
    phone = await stage.phone()
    text = wire.varint_field(1, PORT.TEXT_MESSAGE_APP) + wire.bytes_field(2, b"hello")
    order = ADMIN(factory_reset_device=1).SerializeToString()
    admin = wire.varint_field(1, PORT.ADMIN_APP) + wire.bytes_field(2, order)
    head = wire.fixed32_field(2, stage.own) + wire.fixed32_field(6, 9)
    for packet in (
        head + wire.bytes_field(4, admin) + wire.bytes_field(4, text),
        head + wire.bytes_field(4, text) + wire.bytes_field(4, admin),
        head + wire.bytes_field(4, text + wire.varint_field(1, PORT.ADMIN_APP)),
    ):
        before = len(phone.routing_errors(9))
        phone.write(frame(wire.bytes_field(1, packet)))
        await phone.wait_for(lambda before=before: len(phone.routing_errors(9)) > before)  # type: ignore[misc]
    assert phone.routing_errors(9) == [BAD_REQUEST] * 3
    assert stage.node.packets() == []
