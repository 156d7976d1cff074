"""The virtual node's options while everything runs: the link to the radio is never touched."""

import asyncio
import socket

import pytest

from tests.clients.meshtastic_phone import MeshtasticPhone
from tests.meshtastic.e2e.stage import Stage
from tests.ports import free_port

VIRTUAL_NODE = "custom_components.meshmonitor.mesh.virtual_node"


async def _is_refused(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return True
    writer.close()
    return False


async def _connect(stage: Stage, port: int) -> MeshtasticPhone:
    phone = MeshtasticPhone(port)
    await phone.connect()
    stage.phones.append(phone)
    return phone


async def test_off_and_on_again(stage: Stage) -> None:
    """Clients are cut off, and come back to what they knew."""
    phone = await stage.phone()
    await stage.source.apply_virtual_node(stage.options(enabled=False))
    await phone.wait_closed()
    assert await _is_refused(stage.port)
    assert not stage.source.virtual_node.is_running
    await stage.source.apply_virtual_node(stage.options())
    assert len(await (await stage.phone()).want_config(3)) > 40
    assert stage.source.link.sessions == 1
    assert len(stage.node.want_configs) == 1


async def test_another_port(stage: Stage) -> None:
    """The new one serves, the old one does not."""
    phone = await stage.phone()
    port = free_port()
    await stage.source.apply_virtual_node(stage.options(port=port))
    await phone.wait_closed()
    assert await _is_refused(stage.port)
    moved = await _connect(stage, port)
    await moved.want_config(3)
    assert stage.source.virtual_node.status.port == port
    assert stage.source.link.sessions == 1


async def test_a_port_that_is_taken_leaves_the_old_one_serving(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told, tried again, and taken as soon as it is free; the source never ends."""
    monkeypatch.setattr(f"{VIRTUAL_NODE}.BIND_RETRY", 0.1)
    phone = await stage.phone()
    port = free_port()
    with socket.socket() as other:
        other.bind(("", port))
        other.listen()
        await stage.source.apply_virtual_node(stage.options(port=port))
        status = stage.source.virtual_node.status
        assert status.is_running
        assert status.port == stage.port
        assert status.bind_error
        await phone.barrier()
        assert await phone.outcome(phone.send_text("still served")) == [0]
    await stage.until(lambda: stage.source.virtual_node.status.port == port)
    await phone.wait_closed()
    await (await _connect(stage, port)).want_config(3)
    assert stage.source.virtual_node.status.bind_error is None
    assert stage.source.link.sessions == 1


async def test_a_permission_does_not_drop_who_still_has_it(stage: Stage) -> None:
    """Only who is no longer allowed in goes."""
    staying = await stage.phone(local_host="127.0.0.1")
    leaving = await stage.phone(local_host="127.0.0.2")
    await stage.source.apply_virtual_node(stage.options(allow_admin_commands=True))
    await stage.source.apply_virtual_node(stage.options(shared_position="none"))
    await stage.source.apply_virtual_node(stage.options(allowed_networks=["127.0.0.1"]))
    await leaving.wait_closed()
    await staying.barrier()
    assert await staying.outcome(staying.send_text("still here")) == [0]
    assert stage.source.link.sessions == 1
