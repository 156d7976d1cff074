"""Home Assistant and two programs on one radio: the project's own command line client."""

import asyncio
from pathlib import Path
import sys

from homeassistant.core import HomeAssistant
import pytest

from tests.ha import entity_id, make_entry, node_id, set_up, state_of, virtual_node, wait_until
from tests.ports import free_port
from tests.simulators.meshtastic_node import SimulatedNode

pytestmark = pytest.mark.usefixtures("unload")


async def meshtastic(port: int, *arguments: str) -> str:
    """Run Meshtastic's own command line client against a port of this host."""
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("meshtastic"),
        "--host",
        f"127.0.0.1:{port}",
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()


async def test_command_line_client(hass: HomeAssistant, node: SimulatedNode) -> None:
    """It sees the mesh; what it sends is an event here, and goes to the radio once."""
    port = free_port()
    await set_up(hass, make_entry(node, options=virtual_node(port)))
    unique_id = node_id(node)

    seen = await meshtastic(port, "--info")
    assert "Simulated Base" in seen
    assert node.peer(0).user.long_name in seen

    await meshtastic(port, "--sendtext", "from the command line")
    await wait_until(
        lambda: (
            state_of(hass, "event", f"{unique_id}_message").attributes.get("text")
            == "from the command line"
        ),
        "the event",
    )
    attributes = state_of(hass, "event", f"{unique_id}_message").attributes
    assert attributes["origin"] == "phone"
    assert attributes["sender_id"] == unique_id
    assert node.texts() == ["from the command line"]
    # The radio was read once, by us: none of its time was spent on the clients.
    assert node.tally["connections"] == 1
    assert len(node.want_configs) == 1


LISTENER = """
import sys
from pubsub import pub
from meshtastic.tcp_interface import TCPInterface

def show(packet, interface):
    print("text:", packet["decoded"]["text"], flush=True)

pub.subscribe(show, "meshtastic.receive.text")
interface = TCPInterface("127.0.0.1", portNumber=int(sys.argv[1]))
print("connected", flush=True)
sys.stdin.readline()
interface.close()
"""


async def test_notify_reaches_a_client(hass: HomeAssistant, node: SimulatedNode) -> None:
    """What an automation sends is shown to a program that listens."""
    port = free_port()
    await set_up(hass, make_entry(node, options=virtual_node(port)))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        LISTENER,
        str(port),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            assert await process.stdout.readline() == b"connected\n"
            await hass.services.async_call(
                "notify",
                "send_message",
                {
                    "entity_id": entity_id(hass, "notify", f"{node_id(node)}_channel_0"),
                    "message": "from an automation",
                },
                blocking=True,
            )
            assert await process.stdout.readline() == b"text: from an automation\n"
            process.stdin.write(b"\n")
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert node.texts() == ["from an automation"]
    assert node.tally["connections"] == 1
