"""One client carries the radio's MQTT traffic."""

from meshtastic.protobuf import mesh_pb2
import pytest

from tests.clients.meshtastic_phone import MeshtasticPhone
from tests.meshtastic.e2e.conftest import OpenStage
from tests.meshtastic.e2e.stage import Stage


async def _open(open_stage: OpenStage) -> Stage:
    stage = await open_stage(started=False)
    mqtt = stage.node.state.modules["mqtt"].mqtt
    mqtt.enabled = mqtt.proxy_to_client_enabled = True
    await stage.start()
    return stage


def _heard(phone: MeshtasticPhone) -> list[bytes]:
    """Return what the phone is to publish."""
    return [
        m.mqttClientProxyMessage.data
        for m in phone.messages()
        if m.HasField("mqttClientProxyMessage")
    ]


def _speak(phone: MeshtasticPhone, data: bytes = b"from the broker") -> None:
    message = mesh_pb2.MqttClientProxyMessage(topic="msh/EU_868/2/e/LongFast/!1", data=data)
    phone.send(mesh_pb2.ToRadio(mqttClientProxyMessage=message))


async def test_the_longest_connected_client_carries_all(open_stage: OpenStage) -> None:
    """Each message is published once."""
    stage = await _open(open_stage)
    early = await stage.connect()
    first, second, third = [await stage.phone() for _ in range(3)]
    for number in range(3):
        await stage.node.send_mqtt("msh/1", b"%d" % number)
    await stage.settle()
    assert _heard(first) == [b"0", b"1", b"2"]
    assert _heard(second) == _heard(third) == _heard(early) == []


async def test_only_the_delegate_brings_what_the_broker_says(open_stage: OpenStage) -> None:
    """From the others it is refused, visibly."""
    stage = await _open(open_stage)
    first, second = await stage.phone(), await stage.phone()
    _speak(first)
    await stage.node.wait_for(lambda: stage.node.tally["mqtt_accepted"] == 1)
    _speak(second)
    await second.wait_for(second.notifications)
    await stage.settle()
    assert stage.node.tally["mqtt_accepted"] == 1
    assert first.notifications() == []
    assert stage.source.counters["refused_mqtt_proxy"] == 1


async def test_a_refusal_is_told_once_and_not_at_each_word_of_the_broker(
    open_stage: OpenStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An app shows each notification to its user, and a broker says much."""
    package = "custom_components.meshmonitor.meshtastic.virtual_node"
    monkeypatch.setattr(f"{package}.NOTIFICATION_INTERVAL", 0.0)
    stage = await _open(open_stage)
    first, second = await stage.phone(), await stage.phone()
    _speak(first)
    await stage.node.wait_for(lambda: stage.node.tally["mqtt_accepted"] == 1)
    for _ in range(5):
        _speak(second)
    await second.barrier()
    assert stage.source.counters["refused_mqtt_proxy"] == 5
    assert len(second.notifications()) == 1
    # Another refusal is another thing to tell.
    step = mesh_pb2.ToRadio()
    step.xmodemPacket.seq = 1
    second.send(step)
    await second.barrier()
    assert len(second.notifications()) == 2
    monkeypatch.setattr(f"{package}.SELDOM_NOTIFICATION_INTERVAL", 0.0)
    _speak(second)
    await second.barrier()
    assert len(second.notifications()) == 3


async def test_a_client_with_a_broker_is_preferred_to_one_without(open_stage: OpenStage) -> None:
    """Who speaks has a connection to a broker; the oldest may have none."""
    stage = await _open(open_stage)
    silent, speaking, late = [await stage.phone() for _ in range(3)]
    _speak(speaking)
    await stage.node.wait_for(lambda: stage.node.tally["mqtt_accepted"] == 1)
    await stage.node.send_mqtt("msh/1", b"up")
    _speak(late)
    await late.wait_for(late.notifications)
    await stage.settle()
    assert _heard(speaking) == [b"up"]
    assert _heard(silent) == _heard(late) == []


async def test_an_app_is_preferred_to_a_script(open_stage: OpenStage) -> None:
    """A script that was here first goes to no broker, and an app says nothing before it hears."""
    stage = await _open(open_stage)
    script = await stage.phone()
    await stage.node.send_mqtt("msh/1", b"first")
    await script.wait_for(lambda: _heard(script) == [b"first"])
    app, second = await stage.phone(nonce=69420), await stage.phone(nonce=69420)
    await stage.node.send_mqtt("msh/1", b"second")
    await app.wait_for(lambda: _heard(app) == [b"second"])
    await stage.settle()
    assert (_heard(script), _heard(second)) == ([b"first"], [])


async def test_an_app_that_may_know_the_password_is_preferred(open_stage: OpenStage) -> None:
    """The other one is turned away by a broker that asks for it."""
    stage = await open_stage(
        started=False, allow_admin_commands=True, admin_networks=["127.0.0.2/32"]
    )
    mqtt = stage.node.state.modules["mqtt"].mqtt
    mqtt.enabled = mqtt.proxy_to_client_enabled = True
    await stage.start()
    user = await stage.phone(nonce=69420)
    admin = await stage.phone(nonce=69420, local_host="127.0.0.2")
    await stage.node.send_mqtt("msh/1", b"up")
    await admin.wait_for(lambda: _heard(admin) == [b"up"])
    # Whoever is at a broker after all knows better.
    _speak(user)
    await stage.node.wait_for(lambda: stage.node.tally["mqtt_accepted"] == 1)
    await stage.node.send_mqtt("msh/1", b"again")
    await user.wait_for(lambda: _heard(user) == [b"again"])
    _speak(admin)
    await admin.wait_for(admin.notifications)
    await stage.node.send_mqtt("msh/1", b"still")
    await user.wait_for(lambda: _heard(user) == [b"again", b"still"])
    assert _heard(admin) == [b"up"]


async def test_who_has_not_read_the_radio_carries_nothing(open_stage: OpenStage) -> None:
    """As at a radio: its word for a broker is refused, and it takes nobody's place."""
    stage = await _open(open_stage)
    early, phone = await stage.connect(), await stage.phone()
    _speak(early)
    await early.wait_for(early.notifications)
    await stage.node.send_mqtt("msh/1", b"up")
    await phone.wait_for(lambda: _heard(phone) == [b"up"])
    assert stage.node.tally["mqtt_accepted"] == 0


async def test_the_next_one_takes_over(open_stage: OpenStage) -> None:
    """First who has spoken, then who is there; with nobody it is counted."""
    stage = await _open(open_stage)
    delegate, silent, offering = [await stage.phone() for _ in range(3)]
    _speak(delegate)
    await stage.node.wait_for(lambda: stage.node.tally["mqtt_accepted"] == 1)
    _speak(offering)
    await offering.wait_for(offering.notifications)
    await delegate.close()
    await stage.until(lambda: stage.client_count == 2)
    await stage.node.send_mqtt("msh/1", b"second")
    await offering.wait_for(lambda: _heard(offering) == [b"second"])
    _speak(offering)
    await stage.node.wait_for(lambda: stage.node.tally["mqtt_accepted"] == 2)
    await offering.close()
    await stage.until(lambda: stage.client_count == 1)
    await stage.node.send_mqtt("msh/1", b"third")
    await silent.wait_for(lambda: _heard(silent) == [b"third"])
    await silent.close()
    await stage.until(lambda: stage.client_count == 0)
    await stage.node.send_mqtt("msh/1", b"nobody")
    await stage.until(lambda: stage.source.counters.get("refused_mqtt_without_delegate") == 1)
    late = await stage.phone()
    assert _heard(late) == []


async def test_the_bytes_are_passed_on_as_they_came(open_stage: OpenStage) -> None:
    """In both directions, at the largest size."""
    stage = await _open(open_stage)
    phone = await stage.phone()
    _speak(phone, bytes(400))
    await stage.node.wait_for(lambda: stage.node.tally["mqtt_accepted"] == 1)
    (payload,) = [
        r.payload for r in stage.node.received if r.message.HasField("mqttClientProxyMessage")
    ]
    assert mesh_pb2.ToRadio.FromString(payload).mqttClientProxyMessage.data == bytes(400)
    await stage.node.send_mqtt("msh/1", bytes(range(256)))
    await phone.wait_for(lambda: _heard(phone) == [bytes(range(256))])
