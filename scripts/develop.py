"""Home Assistant with this integration and a mesh to look at. See scripts/develop."""

import argparse
import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
import re
import signal
import socket
import sys
from typing import Any, Final, Self
from urllib.parse import urlsplit

from .home_assistant import PASSWORD, PROJECT, USER, Failure, HomeAssistant, end

PAGE_PORT: Final = 8123
# Utrecht, where the simulated mesh is.
HOME: Final = (52.0907, 5.1214)


@dataclass(frozen=True)
class Protocol:
    """What differs between the radio protocols, seen from here."""

    name: str
    radio_port: int
    virtual_node_port: int
    simulator: str
    simulator_port: int
    command: str


PROTOCOLS: Final = {
    "meshtastic": Protocol(
        name="Meshtastic",
        radio_port=4403,
        virtual_node_port=4404,
        simulator="tests.simulators.meshtastic_node",
        simulator_port=14403,
        command=".venv/bin/meshtastic --host 127.0.0.1:4404 --info",
    ),
    "meshcore": Protocol(
        name="MeshCore",
        radio_port=5000,
        virtual_node_port=5000,
        simulator="tests.simulators.meshcore_companion",
        simulator_port=15000,
        command=".venv/bin/meshcore-cli -t 127.0.0.1 -p 5000 infos",
    ),
}
# What runs unless the command line asks for something else.
SIMULATED: Final = ("meshtastic", "meshcore")


@dataclass(frozen=True)
class Source:
    """One radio for Home Assistant, real or simulated."""

    protocol: str
    where: str
    answers: dict[str, Any]
    simulated: bool = False

    @classmethod
    def tcp(cls, protocol: str, host: str, port: int, *, simulated: bool = False) -> Self:
        """Return a radio that is reached over the network."""
        answers = {"host": host, "port": port}
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return cls(protocol, where, answers, simulated)

    @property
    def facts(self) -> Protocol:
        """What is known of its protocol."""
        return PROTOCOLS[self.protocol]

    @property
    def kind(self) -> str:
        """The entry of the config flow's menu that adds it."""
        return f"{self.protocol}_{'serial' if 'device' in self.answers else 'tcp'}"


def host_and_port(text: str) -> tuple[str, int | None]:
    """Return what HOST[:PORT] means; an IPv6 address before a port stands in brackets.

    Raises argparse.ArgumentTypeError for anything else.
    """
    if text.count(":") > 1 and not text.startswith("["):
        return text, None
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError as err:
        raise argparse.ArgumentTypeError(f"{text}: {err}") from err
    if not host:
        raise argparse.ArgumentTypeError(f"{text}: there is no host")
    return host, port


def parse(arguments: Sequence[str]) -> list[Source]:
    """Return the sources that the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="scripts/develop",
        description="Run Home Assistant with MeshMonitor, on a simulated mesh or on a radio.",
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--host", metavar="HOST[:PORT]", type=host_and_port, help="a radio on the network"
    )
    where.add_argument("--device", metavar="PATH", help="a radio on a serial port")
    parser.add_argument("--protocol", choices=PROTOCOLS, help="what it speaks (meshtastic)")
    options = parser.parse_args(arguments)
    protocol = options.protocol or "meshtastic"
    if options.device:
        return [Source(protocol, options.device, {"device": options.device})]
    if options.host:
        host, port = options.host
        return [Source.tcp(protocol, host, port or PROTOCOLS[protocol].radio_port)]
    simulated = [options.protocol] if options.protocol else SIMULATED
    return [
        Source.tcp(name, "127.0.0.1", PROTOCOLS[name].simulator_port, simulated=True)
        for name in simulated
    ]


def data_folder(sources: Sequence[Source]) -> Path:
    """Return where Home Assistant's data is: other radios, other data."""
    first = sources[0]
    if not first.simulated:
        name = f"{first.kind}-{first.where}"
    else:
        name = "simulated" if len(sources) > 1 else f"simulated-{first.protocol}"
    return PROJECT / ".dev" / re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def require_free(port: int, what: str) -> None:
    """Raise Failure if somebody else listens on a port that is needed."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as err:
            raise Failure(f"port {port}, for {what}, is taken: {err.strerror}") from err


async def simulate(source: Source) -> str:
    """Run a simulated radio until it ends; return what happened."""
    simulator = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        source.facts.simulator,
        "--port",
        str(source.facts.simulator_port),
        cwd=PROJECT,
        start_new_session=True,
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        status = await simulator.wait()
    finally:
        await end(simulator)
    return f"the simulated {source.facts.name} radio ended with status {status}"


async def set_up(home_assistant: HomeAssistant, sources: Sequence[Source]) -> None:
    """Add the sources in Home Assistant's first run, and say where to look."""
    try:
        await home_assistant.connect()
        if not await home_assistant.sources():
            for source in sources:
                virtual_node = {"enabled": True, "port": source.facts.virtual_node_port}
                answers = {**source.answers, "virtual_node": virtual_node}
                try:
                    await home_assistant.add_source(source.kind, answers)
                except Failure as failure:
                    raise Failure(f"{source.facts.name} at {source.where}: {failure}") from failure
        for added in await home_assistant.sources():
            if added["state"] != "loaded":
                print(f"\n{added['title']}: {added['state']} {added['reason'] or ''}")
    finally:
        await home_assistant.disconnect()
    print(welcome(home_assistant, sources), flush=True)


def welcome(home_assistant: HomeAssistant, sources: Sequence[Source]) -> str:
    """Return what a person needs to know now."""
    lines = ["", f"Home Assistant  {home_assistant.url}  (user {USER}, password {PASSWORD})"]
    for source in sources:
        facts = source.facts
        kind = "a simulated radio" if source.simulated else "the radio"
        lines += [
            "",
            f"{facts.name}: {kind} at {source.where}",
            f"  phone app     a network device at this machine's port {facts.virtual_node_port}",
            f"  command line  {facts.command}",
        ]
    folder = home_assistant.folder.relative_to(PROJECT)
    return "\n".join(
        [*lines, "", f"Data in {folder} (remove it to start afresh). Ctrl-C ends all."]
    )


async def run(sources: Sequence[Source]) -> None:
    """Run everything until Ctrl-C. Raises Failure when a part of it fails."""
    require_free(PAGE_PORT, "Home Assistant's page")
    for source in sources:
        require_free(source.facts.virtual_node_port, f"the {source.facts.name} virtual node")
        if source.simulated:
            require_free(source.facts.simulator_port, f"the simulated {source.facts.name} radio")
    home_assistant = HomeAssistant(data_folder(sources), PAGE_PORT)
    home_assistant.prepare(*HOME)

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)

    print("Home Assistant starts; the first time takes half a minute …", flush=True)
    asked_to_stop = asyncio.create_task(stop.wait())
    # Simulators come first and are ended last: Home Assistant says goodbye to its radio.
    radios = [asyncio.create_task(simulate(source)) for source in sources if source.simulated]
    page = asyncio.create_task(home_assistant.run())
    welcomed = asyncio.create_task(set_up(home_assistant, sources))
    try:
        waiting: set[asyncio.Task[Any]] = {asked_to_stop, page, welcomed, *radios}
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if welcomed in done:
            welcomed.result()
        if done == {welcomed}:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for radio in radios:
            if radio in done:
                raise Failure(radio.result())
        if page in done and page.result():
            raise Failure(f"Home Assistant ended with status {page.result()}")
    finally:
        for task in (welcomed, page, *radios, asked_to_stop):
            task.cancel()
            await asyncio.wait([task])


def main() -> int:
    """Run until Ctrl-C and return the exit status."""
    try:
        asyncio.run(run(parse(sys.argv[1:])))
    except Failure as failure:
        print(f"scripts/develop: {failure}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
