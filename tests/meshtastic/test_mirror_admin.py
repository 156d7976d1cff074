"""After a command that the radio has taken, the mirror says what the radio says."""

from meshtastic.protobuf import (
    admin_pb2,
    channel_pb2,
    config_pb2,
    device_ui_pb2,
    mesh_pb2,
    module_config_pb2,
    telemetry_pb2,
)
import pytest

from custom_components.meshmonitor.meshtastic import admin, packets, wire
from custom_components.meshmonitor.meshtastic.admin import AdminClass, AdminQuery
from custom_components.meshmonitor.meshtastic.mirror import Mirror
from custom_components.meshmonitor.meshtastic.mirror_state import NO_CHANGE, MirrorChange
from custom_components.meshmonitor.meshtastic.replay import ReplayKind
from tests.meshtastic.recorded import (
    NOW,
    VERSIONS,
    captured,
    connections,
    heard,
    mirror_of,
    node_info_in,
    node_of,
    replayed,
)

OWN = 0x0A000001
OTHER = 0x0A000002
STRANGER = 0x0A0000FF
FIRMWARE = ("2.7.26.54e0d8d", "2.8.0.7754068")


MODULE = module_config_pb2.ModuleConfig


def with_firmware(mirror: Mirror, version: str) -> Mirror:
    """Let the radio say that its firmware is another one."""
    metadata = mesh_pb2.DeviceMetadata(firmware_version=version)
    mirror.live(mesh_pb2.FromRadio(metadata=metadata).SerializeToString(), NOW)
    return mirror


def apply(mirror: Mirror, message: admin_pb2.AdminMessage) -> MirrorChange:
    """Let the mirror follow a command."""
    return mirror.apply_admin(message.SerializeToString())


@pytest.mark.parametrize("version", VERSIONS)
def test_owner_is_renamed_as_the_firmware_does(version: str) -> None:
    """The recorded command makes of the first recorded node info the second one."""
    first, second = connections(version)[1], connections(version)[2]
    mirror = captured(first.dump)
    own = mirror.my_node_num
    assert own is not None
    command = admin_pb2.AdminMessage(
        set_owner=mesh_pb2.User(long_name="Recorder", short_name="REC")
    )
    for payload in first.live:
        mirror.live(payload, NOW)
    assert apply(mirror, command) == MirrorChange(nodes=frozenset({own}))
    expected = next(item for item in second.dump if packets.variant(item)[0] == packets.NODE_INFO)
    assert replayed(mirror, ReplayKind.NODES)[0] == expected
    assert apply(mirror, command) == NO_CHANGE


@pytest.mark.parametrize("blank", [mesh_pb2.User(long_name=" \t"), mesh_pb2.User(short_name="  ")])
def test_owner_without_a_readable_name_is_not_taken(blank: mesh_pb2.User) -> None:
    """The firmware refuses the whole of it."""
    mirror = mirror_of("2.7.26")
    before = mirror.own_user()
    user = mesh_pb2.User(long_name="New", short_name="N", is_licensed=True)
    user.MergeFrom(blank)
    assert apply(mirror, admin_pb2.AdminMessage(set_owner=user)) == NO_CHANGE
    assert mirror.own_user() == before


def test_owner_keeps_what_was_not_said() -> None:
    """An empty name is none; a licence takes keys off the channels, so all is read again."""
    mirror = mirror_of("2.7.26")
    before = node_of(mirror, OWN).user
    change = apply(
        mirror,
        admin_pb2.AdminMessage(set_owner=mesh_pb2.User(short_name="NEW", is_unmessagable=True)),
    )
    assert not change.needs_reread
    before.short_name = "NEW"
    before.is_unmessagable = True
    assert node_of(mirror, OWN).user == before
    change = apply(mirror, admin_pb2.AdminMessage(set_owner=mesh_pb2.User(is_licensed=True)))
    assert change.needs_reread
    assert node_of(mirror, OWN).user.is_licensed


def test_channel_is_set() -> None:
    """A new primary channel makes a secondary one of the old."""
    mirror = mirror_of("2.7.26")
    channel = channel_pb2.Channel(
        index=3,
        role=channel_pb2.Channel.PRIMARY,
        settings=channel_pb2.ChannelSettings(name="New", psk=b"k" * 16),
    )
    command = admin_pb2.AdminMessage(set_channel=channel)
    assert apply(mirror, command) == MirrorChange(channels=True)
    assert mirror.channel(3) == channel.SerializeToString()
    old = channel_pb2.Channel.FromString(mirror.channel(0) or b"")
    assert old.role == channel_pb2.Channel.SECONDARY
    assert old.settings.psk == b"\x01"
    assert apply(mirror, command) == NO_CHANGE
    assert len(replayed(mirror)) == len(connections("2.7.26")[1].dump)


def test_channel_without_settings_is_disabled() -> None:
    """As the firmware keeps it; a slot that does not exist is not made."""
    mirror = mirror_of("2.7.26")
    command = admin_pb2.AdminMessage(
        set_channel=channel_pb2.Channel(index=1, role=channel_pb2.Channel.SECONDARY)
    )
    assert apply(mirror, command) == NO_CHANGE
    assert mirror.channel(1) == bytes.fromhex("08011200")
    nowhere = admin_pb2.AdminMessage(set_channel=channel_pb2.Channel(index=8))
    assert apply(mirror, nowhere) == NO_CHANGE


def config_command(config: config_pb2.Config) -> admin_pb2.AdminMessage:
    """Return a command that sets a configuration."""
    return admin_pb2.AdminMessage(set_config=config)


def test_configuration_is_set() -> None:
    """As it was sent, in its place."""
    mirror = mirror_of("2.7.26")
    display = config_pb2.Config(display=config_pb2.Config.DisplayConfig(screen_on_secs=7))
    before = replayed(mirror)
    assert apply(mirror, config_command(display)) == MirrorChange(config=True)
    assert mirror.config(5) == display.SerializeToString()
    after = replayed(mirror)
    assert sum(one != other for one, other in zip(before, after, strict=True)) == 1
    assert apply(mirror, config_command(display)) == NO_CHANGE


@pytest.mark.parametrize(
    ("config", "needs_reread"),
    [
        (
            config_pb2.Config(
                lora=config_pb2.Config.LoRaConfig(
                    use_preset=True, region=config_pb2.Config.LoRaConfig.EU_433, hop_limit=5
                )
            ),
            True,
        ),
        (
            config_pb2.Config(
                lora=config_pb2.Config.LoRaConfig(
                    use_preset=True, region=config_pb2.Config.LoRaConfig.US, hop_limit=5
                )
            ),
            False,
        ),
        (
            config_pb2.Config(
                device=config_pb2.Config.DeviceConfig(role=config_pb2.Config.DeviceConfig.ROUTER)
            ),
            True,
        ),
        (
            config_pb2.Config(device=config_pb2.Config.DeviceConfig(tzdef="CET-1CEST")),
            False,
        ),
        (
            config_pb2.Config(security=config_pb2.Config.SecurityConfig(serial_enabled=False)),
            True,
        ),
    ],
    ids=["region", "hop limit", "role", "time zone", "security"],
)
def test_what_has_further_effects_is_read_again(
    config: config_pb2.Config, needs_reread: bool
) -> None:
    """Region, role and security change more than themselves."""
    mirror = mirror_of("2.7.26")
    change = apply(mirror, config_command(config))
    assert change.config
    assert change.needs_reread is needs_reread
    assert change.channels is config.HasField("lora")


@pytest.mark.parametrize(
    ("config", "needs_reread"),
    [
        (MODULE(mqtt=MODULE.MQTTConfig(address="not a broker")), True),
        (MODULE(serial=MODULE.SerialConfig(enabled=True, rxd=1, txd=1)), True),
        (MODULE(range_test=MODULE.RangeTestConfig(enabled=True)), False),
    ],
    ids=["mqtt", "serial", "range test"],
)
def test_what_the_radio_may_refuse_is_read_again(
    config: module_config_pb2.ModuleConfig, needs_reread: bool
) -> None:
    """It looks at some settings before it takes them, and may say nothing about it."""
    change = apply(mirror_of("2.7.26"), admin_pb2.AdminMessage(set_module_config=config))
    assert change == MirrorChange(config=True, needs_reread=needs_reread)


def test_configuration_that_is_not_mirrored_is_read() -> None:
    """There is no place for it."""
    mirror = mirror_of("2.7.26")
    message = wire.bytes_field(admin.SET_CONFIG, wire.bytes_field(60, b"\x08\x01"))
    assert mirror.apply_admin(message) == MirrorChange(needs_reread=True)
    module = wire.bytes_field(admin.SET_MODULE_CONFIG, wire.bytes_field(60, b"\x08\x01"))
    assert mirror.apply_admin(module) == MirrorChange(needs_reread=True)


def test_secrets_survive_a_redacted_save() -> None:
    """What a client was not shown is still there afterwards."""
    mirror = mirror_of("2.7.26")
    network = config_pb2.Config(network=config_pb2.Config.NetworkConfig(wifi_psk="hunter22"))
    apply(mirror, config_command(network))
    network.network.wifi_psk = "sekrit"
    network.network.wifi_ssid = "attic"
    assert apply(mirror, config_command(network)).config
    kept = config_pb2.Config.FromString(mirror.config(4) or b"").network
    assert (kept.wifi_ssid, kept.wifi_psk) == ("attic", "hunter22")
    mqtt = module_config_pb2.ModuleConfig(
        mqtt=module_config_pb2.ModuleConfig.MQTTConfig(password="sekrit", root="msh/x")
    )
    assert apply(mirror, admin_pb2.AdminMessage(set_module_config=mqtt)).config
    saved = module_config_pb2.ModuleConfig.FromString(mirror.module_config(1) or b"").mqtt
    assert (saved.root, saved.password) == ("msh/x", "large4cats")
    key = config_pb2.Config.FromString(mirror.config(8) or b"").security.private_key
    security = config_pb2.Config(security=config_pb2.Config.SecurityConfig(is_managed=True))
    apply(mirror, config_command(security))
    after = config_pb2.Config.FromString(mirror.config(8) or b"").security
    assert len(key) == 32
    assert after.private_key == key
    assert after.is_managed
    assert mirror.is_managed()


def test_module_and_ui_configuration_are_set() -> None:
    """As they were sent."""
    mirror = mirror_of("2.7.26")
    module = module_config_pb2.ModuleConfig(
        range_test=module_config_pb2.ModuleConfig.RangeTestConfig(enabled=True)
    )
    command = admin_pb2.AdminMessage(set_module_config=module)
    assert apply(mirror, command) == MirrorChange(config=True)
    assert mirror.module_config(5) == module.SerializeToString()
    assert apply(mirror, command) == NO_CHANGE
    ui = device_ui_pb2.DeviceUIConfig(screen_brightness=5)
    command = admin_pb2.AdminMessage(store_ui_config=ui)
    assert apply(mirror, command) == MirrorChange(config=True)
    assert mirror.ui_config() == ui.SerializeToString()
    assert apply(mirror, command) == NO_CHANGE


@pytest.mark.parametrize(
    ("tag", "back", "field"),
    [(39, 40, "is_favorite"), (47, 48, "is_ignored"), (49, 49, "is_muted")],
)
def test_flags_of_nodes(tag: int, back: int, field: str) -> None:
    """They come and go; unknown nodes get none."""
    mirror = mirror_of("2.7.26", 2)
    before = node_of(mirror, OTHER)
    assert mirror.apply_admin(wire.varint_field(tag, OTHER)) == MirrorChange(
        nodes=frozenset({OTHER})
    )
    assert getattr(node_of(mirror, OTHER), field)
    if tag != back:
        assert mirror.apply_admin(wire.varint_field(tag, OTHER)) == NO_CHANGE
    assert mirror.apply_admin(wire.varint_field(back, OTHER)).nodes == {OTHER}
    if tag != 47:
        assert node_of(mirror, OTHER) == before
    assert mirror.apply_admin(wire.varint_field(tag, STRANGER)) == NO_CHANGE
    assert mirror.apply_admin(wire.varint_field(tag, 0xFFFFFFFF)) == NO_CHANGE


@pytest.mark.parametrize("firmware", FIRMWARE)
def test_ignored_node_is_forgotten_in_part(firmware: str) -> None:
    """Where it was and what it measured, and in earlier firmware its key."""
    mirror = with_firmware(mirror_of("2.7.26", 2), firmware)
    content = telemetry_pb2.Telemetry(
        environment_metrics=telemetry_pb2.EnvironmentMetrics(temperature=1.0)
    )
    mirror.live(heard(OTHER, packets.TELEMETRY, content.SerializeToString()), NOW)
    mirror.apply_admin(wire.varint_field(47, OTHER))
    info = node_of(mirror, OTHER)
    assert info.user.long_name == "Sim Node 1"
    assert bool(info.user.public_key) is (firmware.startswith("2.8"))
    assert not info.HasField("position")
    assert not info.HasField("device_metrics")
    assert mirror.state is not None
    assert not mirror.state.nodes[OTHER].readings


def test_unknown_node_is_ignored() -> None:
    """Firmware 2.8 blocks also whom it has not heard yet."""
    assert mirror_of("2.7.26", 2).apply_admin(wire.varint_field(47, STRANGER)) == NO_CHANGE
    mirror = mirror_of("2.8.0-dev", 2)
    assert mirror.apply_admin(wire.varint_field(47, STRANGER)).new_nodes == {STRANGER}
    assert mirror.apply_admin(wire.varint_field(47, 0xFFFFFFFF)) == NO_CHANGE


def test_node_is_removed() -> None:
    """The own one is not."""
    mirror = mirror_of("2.7.26", 2)
    command = wire.varint_field(38, OTHER)
    assert mirror.apply_admin(command) == MirrorChange(removed_nodes=frozenset({OTHER}))
    assert mirror.user_of(OTHER) is None
    assert mirror.apply_admin(command) == NO_CHANGE
    assert mirror.apply_admin(wire.varint_field(38, OWN)) == NO_CHANGE
    assert len(replayed(mirror, ReplayKind.NODES)) == 2


@pytest.mark.parametrize("keep_favorites", [False, True])
@pytest.mark.parametrize("role", ["CLIENT", "ROUTER"])
def test_node_database_is_reset(keep_favorites: bool, role: str) -> None:
    """Favourites stay where it is asked for, and always with a router."""
    mirror = mirror_of("2.7.26", 2)
    device = config_pb2.Config.DeviceConfig(role=config_pb2.Config.DeviceConfig.Role.Value(role))
    apply(mirror, config_command(config_pb2.Config(device=device)))
    mirror.apply_admin(wire.varint_field(39, OTHER))
    change = mirror.apply_admin(wire.varint_field(100, keep_favorites))
    keeps = keep_favorites or role == "ROUTER"
    assert change.needs_reread
    assert change.removed_nodes == {0x0A000003} | (set() if keeps else {OTHER})
    assert [node_info_in(item).num for item in replayed(mirror, ReplayKind.NODES)] == [
        OWN,
        *([OTHER] if keeps else []),
    ]


def test_fixed_position() -> None:
    """It is the own node's, and the configuration says so; both go again."""
    mirror = mirror_of("2.7.26")
    place = mesh_pb2.Position(latitude_i=52_0000000, longitude_i=4_0000000, altitude=3)
    change = apply(mirror, admin_pb2.AdminMessage(set_fixed_position=place))
    assert change == MirrorChange(nodes=frozenset({OWN}), config=True)
    assert node_of(mirror, OWN).position == place
    assert config_pb2.Config.FromString(mirror.config(2) or b"").position.fixed_position
    change = apply(mirror, admin_pb2.AdminMessage(remove_fixed_position=True))
    assert change == MirrorChange(nodes=frozenset({OWN}), config=True)
    assert not node_of(mirror, OWN).position.latitude_i
    assert mirror.config(2) == mirror_of("2.7.26").config(2)


def test_contact_is_added() -> None:
    """Its key is kept as that of a packet is: never in place of another one."""
    mirror = mirror_of("2.7.26", 2)
    contact = admin_pb2.SharedContact(
        node_num=STRANGER, user=mesh_pb2.User(long_name="New", public_key=b"k" * 32)
    )
    command = admin_pb2.AdminMessage(add_contact=contact)
    assert apply(mirror, command).new_nodes == {STRANGER}
    assert node_of(mirror, STRANGER).user.public_key == b"k" * 32
    assert apply(mirror, command) == NO_CHANGE
    contact.node_num = OTHER
    before = mirror.user_of(OTHER)
    apply(mirror, admin_pb2.AdminMessage(add_contact=contact))
    assert mirror.user_of(OTHER) == before
    contact.node_num = OWN
    assert apply(mirror, admin_pb2.AdminMessage(add_contact=contact)) == NO_CHANGE


@pytest.mark.parametrize("role", ["CLIENT", "CLIENT_BASE"])
def test_contact_is_kept_as_a_favourite(role: str) -> None:
    """The radio marks it, so that it stays, and takes it for verified where that is said."""
    mirror = mirror_of("2.7.26", 2)
    device = config_pb2.Config.DeviceConfig(role=config_pb2.Config.DeviceConfig.Role.Value(role))
    apply(mirror, config_command(config_pb2.Config(device=device)))
    contact = admin_pb2.SharedContact(node_num=OTHER, user=node_of(mirror, OTHER).user)
    apply(mirror, admin_pb2.AdminMessage(add_contact=contact))
    info = node_of(mirror, OTHER)
    assert info.is_favorite is (role == "CLIENT")
    assert not info.is_key_manually_verified
    contact.manually_verified = True
    assert apply(mirror, admin_pb2.AdminMessage(add_contact=contact)).nodes == {OTHER}
    assert node_of(mirror, OTHER).is_key_manually_verified
    mirror.apply_admin(wire.varint_field(39, OTHER))
    contact.manually_verified = False
    assert apply(mirror, admin_pb2.AdminMessage(add_contact=contact)) == NO_CHANGE
    assert node_of(mirror, OTHER).is_favorite
    assert node_of(mirror, OTHER).is_key_manually_verified


@pytest.mark.parametrize("firmware", FIRMWARE)
def test_contact_to_ignore(firmware: str) -> None:
    """It is no favourite any more, and forgotten like any node that is ignored."""
    mirror = with_firmware(mirror_of("2.7.26", 2), firmware)
    mirror.apply_admin(wire.varint_field(39, OTHER))
    contact = admin_pb2.SharedContact(
        node_num=OTHER, user=node_of(mirror, OTHER).user, should_ignore=True
    )
    assert apply(mirror, admin_pb2.AdminMessage(add_contact=contact)).nodes == {OTHER}
    info = node_of(mirror, OTHER)
    assert (info.is_ignored, info.is_favorite, info.HasField("position")) == (True, False, False)
    assert bool(info.user.public_key) is (firmware.startswith("2.8"))


@pytest.mark.parametrize("row", admin.VARIANTS.values(), ids=lambda row: row.name)
def test_every_command_is_decided(row: admin.Variant) -> None:
    """Reading changes nothing; what cannot be followed asks for another reading; none raises."""
    mirror = mirror_of("2.7.26")
    before = replayed(mirror)
    value = (
        wire.bytes_field(row.tag, b"")
        if row.wire_type == wire.BYTES
        else wire.fixed32_field(row.tag, 1)
        if row.wire_type == wire.FIXED32
        else wire.varint_field(row.tag, 1)
    )
    change = mirror.apply_admin(value)
    if row.admin_class in (AdminClass.READ, AdminClass.RESPONSE):
        assert change == NO_CHANGE
        assert replayed(mirror) == before
    if row.name in {
        "restore_preferences",
        "factory_reset_device",
        "factory_reset_config",
        "nodedb_reset",
        "set_ham_mode",
        "set_config",
        "set_module_config",
        "lockdown_auth",
        "ota_request",
    }:
        assert change.needs_reread


@pytest.mark.parametrize("payload", [b"\x0a", b"", wire.varint_field(200, 1), b"\x82\x02\x01\xff"])
def test_unknown_and_broken_commands_ask_for_another_reading(payload: bytes) -> None:
    """What the radio made of them cannot be known."""
    mirror = mirror_of("2.7.26")
    before = replayed(mirror)
    assert mirror.apply_admin(payload) == MirrorChange(needs_reread=True)
    assert replayed(mirror) == before


def test_answers_are_asked_for_anew_after_a_command() -> None:
    """A ringtone may have been set."""
    mirror = mirror_of("2.7.26")
    mirror.remember_admin_answer(AdminQuery(14), b"\x7a\x01x")
    assert mirror.apply_admin(wire.bytes_field(37, b"beep")) == NO_CHANGE
    assert mirror.admin_answer(AdminQuery(14)) is None
