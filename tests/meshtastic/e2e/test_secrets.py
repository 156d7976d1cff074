"""Keys and passwords stay with the radio, and survive a client that never saw them."""

from meshtastic.protobuf import admin_pb2, config_pb2, device_ui_pb2, mesh_pb2, module_config_pb2
import pytest

from custom_components.meshmonitor.mesh.transport import TcpEndpoint
from tests.clients.meshtastic_phone import MeshtasticPhone
from tests.meshtastic.e2e.conftest import OpenStage
from tests.meshtastic.e2e.stage import PORT, Served, Stage
from tests.simulators.meshtastic_config import Flavour, NodeConfig
from tests.simulators.meshtastic_state import (
    DISPLAY_PIN,
    FIXED_PIN,
    MQTT_PASSWORD,
    SEKRIT,
    WIFI_PSK,
)

ADMIN = admin_pb2.AdminMessage
NO_INTERFACE = 4
SECRET_BYTES = (WIFI_PSK.encode(), MQTT_PASSWORD.encode())
SECTIONS = (
    ADMIN(get_config_request=ADMIN.ConfigType.NETWORK_CONFIG),
    ADMIN(get_config_request=ADMIN.ConfigType.BLUETOOTH_CONFIG),
    ADMIN(get_config_request=ADMIN.ConfigType.SECURITY_CONFIG),
    ADMIN(get_module_config_request=ADMIN.ModuleConfigType.MQTT_CONFIG),
    ADMIN(get_ui_config_request=True),
)


def _config(dump: list[bytes], section: str) -> config_pb2.Config:
    messages = map(mesh_pb2.FromRadio.FromString, dump)
    return next(m.config for m in messages if m.config.WhichOneof("payload_variant") == section)


def _mqtt(dump: list[bytes]) -> module_config_pb2.ModuleConfig:
    messages = map(mesh_pb2.FromRadio.FromString, dump)
    return next(m.moduleConfig for m in messages if m.moduleConfig.HasField("mqtt"))


def _display(dump: list[bytes]) -> device_ui_pb2.DeviceUIConfig:
    messages = map(mesh_pb2.FromRadio.FromString, dump)
    return next(m.deviceuiConfig for m in messages if m.HasField("deviceuiConfig"))


def _secrets(stage: Stage) -> list[bytes]:
    return [*SECRET_BYTES, stage.node.state.private_key]


async def test_no_secret_leaves_by_default(stage: Stage) -> None:
    """Neither in a dump nor in an answer."""
    phones = [await stage.phone(nonce=nonce) for nonce in (69420, 69421, 0, 4242)]
    for question in SECTIONS:
        assert isinstance(await phones[0].ask_admin(question, stage.own), ADMIN)
    for phone in phones:
        everything = b"".join(phone.payloads)
        assert [secret for secret in _secrets(stage) if secret in everything] == []
        assert {m.config.bluetooth.fixed_pin for m in phone.messages()} == {0}
        assert {m.deviceuiConfig.pin_code for m in phone.messages()} == {0}
    answers = [ADMIN.FromString(p.decoded.payload) for p in phones[0].packets(PORT.ADMIN_APP)]
    assert {a.get_config_response.bluetooth.fixed_pin for a in answers} == {0}
    assert {a.get_ui_config_response.pin_code for a in answers} == {0}


async def test_all_else_is_as_the_radio_said_it(open_stage: OpenStage) -> None:
    """Only five frames differ, and only in the secret."""
    hiding, open_one = await open_stage(), await open_stage(hide_secrets=False)
    hidden = await (await hiding.phone()).want_config(7)
    shown = await (await open_one.phone()).want_config(7)
    different = [(h, s) for h, s in zip(hidden, shown, strict=True) if h != s]
    # The own node's record holds the time of the request.
    different = [(h, s) for h, s in different if not mesh_pb2.FromRadio.FromString(h).node_info.num]
    assert len(different) == 5
    display = device_ui_pb2.DeviceUIConfig.FromString(hiding.node.state.ui.SerializeToString())
    display.ClearField("pin_code")
    assert [_display(dump) for dump in (hidden, shown)] == [display, hiding.node.state.ui]
    assert _config(hidden, "network").network.wifi_psk == SEKRIT
    assert _mqtt(hidden).mqtt.password == SEKRIT
    security = _config(hidden, "security").security
    assert security.private_key == b""
    assert security.public_key == hiding.node.state.user.public_key
    for section in ("network", "bluetooth", "security"):
        theirs, real = _config(hidden, section), _config(shown, section)
        for config in (theirs, real):
            config.network.wifi_psk = ""
            config.bluetooth.fixed_pin = 0
            config.security.private_key = b""
        assert getattr(theirs, section) == getattr(real, section)
    channels = [
        m.channel for m in map(mesh_pb2.FromRadio.FromString, hidden) if m.HasField("channel")
    ]
    assert channels == hiding.node.state.channels


async def test_the_option_shows_everything(open_stage: OpenStage) -> None:
    """As the radio itself does."""
    stage = await open_stage(hide_secrets=False)
    everything = b"".join(await (await stage.phone()).want_config(7))
    for secret in _secrets(stage):
        assert secret in everything


async def test_administrators_see_what_they_administer(open_stage: OpenStage) -> None:
    """The same source, the same moment, two addresses."""
    stage = await open_stage(allow_admin_commands=True, admin_networks=["127.0.0.2"])
    admin = await stage.phone(local_host="127.0.0.2")
    user = await stage.phone(local_host="127.0.0.1")
    for secret in _secrets(stage):
        assert secret in b"".join(admin.payloads)
        assert secret not in b"".join(user.payloads)
    question = ADMIN(get_config_request=ADMIN.ConfigType.NETWORK_CONFIG)
    for phone, word in ((admin, WIFI_PSK), (user, SEKRIT)):
        answer = await phone.ask_admin(question, stage.own)
        assert isinstance(answer, ADMIN)
        assert answer.get_config_response.network.wifi_psk == word


async def test_an_option_that_changes_takes_effect_at_the_next_request(stage: Stage) -> None:
    """Nothing that was prepared for one kind of client is handed to the other."""
    phone = await stage.phone()
    await stage.source.apply_virtual_node(stage.options(hide_secrets=False))
    assert WIFI_PSK.encode() in b"".join(await phone.want_config(7))
    await stage.source.apply_virtual_node(stage.options())
    assert WIFI_PSK.encode() not in b"".join(await phone.want_config(8))


async def _save(phone: MeshtasticPhone, stage: Stage, message: admin_pb2.AdminMessage) -> None:
    packet_id = phone.send_admin(message, stage.own)
    assert await phone.outcome(packet_id) == [0]


@pytest.mark.parametrize("flavour", ["2.7", "2.8"])
async def test_saving_what_was_hidden_keeps_the_real_values(
    open_stage: OpenStage, flavour: Flavour
) -> None:
    """An app that read without permission and saves with it: nothing is overwritten."""
    stage = await open_stage(NodeConfig(flavour=flavour))
    phone = await stage.phone()
    dump = await phone.want_config(7)
    await stage.source.apply_virtual_node(stage.options(allow_admin_commands=True))
    key, num = stage.node.state.private_key, stage.own
    network, bluetooth = _config(dump, "network"), _config(dump, "bluetooth")
    security, mqtt, display = _config(dump, "security"), _mqtt(dump), _display(dump)
    network.network.wifi_ssid = "loft"
    bluetooth.bluetooth.enabled = False
    security.security.debug_log_api_enabled = True
    mqtt.mqtt.username = "someone"
    await _save(phone, stage, ADMIN(set_config=network))
    await _save(phone, stage, ADMIN(set_config=bluetooth))
    await _save(phone, stage, ADMIN(set_module_config=mqtt))
    display.screen_brightness = 12
    await _save(phone, stage, ADMIN(store_ui_config=display))
    await _save(phone, stage, ADMIN(set_config=security))
    configs = stage.node.state.configs
    assert configs["network"].network.wifi_ssid == "loft"
    assert configs["network"].network.wifi_psk == WIFI_PSK
    assert configs["bluetooth"].bluetooth.fixed_pin == FIXED_PIN
    assert not configs["bluetooth"].bluetooth.enabled
    assert configs["security"].security.debug_log_api_enabled
    assert configs["security"].security.private_key == key == stage.node.state.private_key
    assert stage.node.state.modules["mqtt"].mqtt.password == MQTT_PASSWORD
    assert stage.node.state.modules["mqtt"].mqtt.username == "someone"
    assert (stage.node.state.ui.screen_brightness, stage.node.state.ui.pin_code) == (
        12,
        DISPLAY_PIN,
    )
    assert stage.own == num
    sent = b"".join(p.decoded.payload for p in stage.node.packets(PORT.ADMIN_APP))
    assert SEKRIT.encode() not in sent


async def test_a_key_that_is_not_known_yet_is_not_lost(open_stage: OpenStage) -> None:
    """What is kept over a restart lacks the key: its radio is read before it is set up anew."""
    stage = await open_stage(started=False, allow_admin_commands=True)
    before = Served(TcpEndpoint(stage.node.host, stage.node.port))
    await before.start()
    kept = before.source.snapshot()
    await before.stop()
    stage.node.refuse()
    stage.source.restore(kept)
    await stage.source.start()
    phone = await stage.phone()
    key, num = stage.node.state.private_key, stage.own
    security = _config(await phone.want_config(7), "security")
    assert not security.security.private_key
    security.security.debug_log_api_enabled = True
    packet_id = phone.send_admin(ADMIN(set_config=security), stage.own)
    assert await phone.outcome(packet_id) == [NO_INTERFACE]
    await stage.node.listen()
    await stage.until_ready()
    await _save(phone, stage, ADMIN(set_config=security))
    assert stage.node.state.configs["security"].security.debug_log_api_enabled
    assert (stage.node.state.private_key, stage.own) == (key, num)


async def test_a_new_password_is_taken(open_stage: OpenStage) -> None:
    """Putting the old values back must not be in the way of new ones."""
    stage = await open_stage(allow_admin_commands=True)
    phone = await stage.phone()
    network = _config(await phone.want_config(7), "network")
    network.network.wifi_psk = "a new one"
    await _save(phone, stage, ADMIN(set_config=network))
    assert stage.node.state.configs["network"].network.wifi_psk == "a new one"


async def test_log_lines_hold_no_secret(
    open_stage: OpenStage, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor texts, nor places, at the most talkative level."""
    caplog.set_level("DEBUG")
    stage = await open_stage(allow_admin_commands=True)
    phone = await stage.phone()
    packet_id = phone.send_text("a private matter")
    await phone.outcome(packet_id)
    await stage.node.say(stage.node.peer(0).num, "another private matter")
    refused = phone.send_text("never sent", to=0)
    await phone.outcome(refused)
    await stage.settle()
    for secret in (
        WIFI_PSK,
        MQTT_PASSWORD,
        "private matter",
        "never sent",
        str(FIXED_PIN),
        str(DISPLAY_PIN),
    ):
        assert secret not in caplog.text
    assert stage.node.state.private_key.hex() not in caplog.text
    for event in stage.events:
        assert "private matter" not in repr(event)
