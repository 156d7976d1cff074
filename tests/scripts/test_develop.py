"""The development instance: what its command line asks for, and what it says when it can not."""

from collections.abc import Mapping
from pathlib import Path
import socket
import sys
from typing import Any, override

import pytest

from scripts.develop import (
    PROTOCOLS,
    SIMULATED,
    Source,
    data_folder,
    main,
    parse,
    require_free,
    set_up,
    welcome,
)
from scripts.home_assistant import PROJECT, Failure, HomeAssistant


def test_a_simulated_mesh_is_the_default() -> None:
    """Without arguments there is a simulated radio for each protocol that has one."""
    sources = parse([])
    assert [source.protocol for source in sources] == list(SIMULATED)
    assert all(source.simulated for source in sources)
    assert sources[0].kind == "meshtastic_tcp"
    assert sources[0].answers == {"host": "127.0.0.1", "port": 14403}


@pytest.mark.parametrize("protocol", SIMULATED)
def test_simulators_are_there(protocol: str) -> None:
    """What runs by default can be run."""
    path = PROTOCOLS[protocol].simulator.replace(".", "/")
    assert (PROJECT / f"{path}.py").is_file()


@pytest.mark.parametrize(
    ("arguments", "kind", "answers"),
    [
        (["--host", "radio.lan"], "meshtastic_tcp", {"host": "radio.lan", "port": 4403}),
        (["--host", "radio.lan:99"], "meshtastic_tcp", {"host": "radio.lan", "port": 99}),
        (["--host", "fd00::7"], "meshtastic_tcp", {"host": "fd00::7", "port": 4403}),
        (["--host", "[fd00::7]:99"], "meshtastic_tcp", {"host": "fd00::7", "port": 99}),
        (["--device", "/dev/ttyACM0"], "meshtastic_serial", {"device": "/dev/ttyACM0"}),
        (
            ["--protocol", "meshcore", "--host", "radio.lan"],
            "meshcore_tcp",
            {"host": "radio.lan", "port": 5000},
        ),
        (
            ["--device", "/dev/ttyACM0", "--protocol", "meshcore"],
            "meshcore_serial",
            {"device": "/dev/ttyACM0"},
        ),
    ],
)
def test_a_real_radio(arguments: list[str], kind: str, answers: dict[str, object]) -> None:
    """A radio that is named is the only source, with its protocol's port unless one is given."""
    (source,) = parse(arguments)
    assert not source.simulated
    assert source.kind == kind
    assert source.answers == answers


@pytest.mark.parametrize(
    "arguments",
    [
        ["--host", "radio.lan", "--device", "/dev/ttyACM0"],
        ["--protocol", "lorawan"],
        ["--host"],
        ["--host", "radio.lan:first"],
        ["--host", "radio.lan:65536"],
        ["--host", ":4403"],
    ],
)
def test_nonsense_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Both ways at once, a protocol that nobody speaks, half an option, and ports that are none."""
    with pytest.raises(SystemExit):
        parse(arguments)
    assert "usage: scripts/develop" in capsys.readouterr().err


def test_other_radios_have_other_data() -> None:
    """What was added in one run does not turn up, without its radio, in a run on another one."""
    runs: list[list[str]] = [
        [],
        ["--protocol", "meshcore"],
        ["--protocol", "meshtastic"],
        ["--host", "radio.lan"],
        ["--host", "radio.lan", "--protocol", "meshcore"],
        ["--device", "/dev/ttyACM0"],
    ]
    folders = {data_folder(parse(arguments)) for arguments in runs}
    assert len(folders) == len(runs)
    assert {folder.parent for folder in folders} == {PROJECT / ".dev"}


class Refusing(HomeAssistant):
    """A Home Assistant whose config flow answers with what it is told."""

    step: dict[str, object]

    @override
    async def connect(self) -> None:
        """Be there at once."""

    @override
    async def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Answer as the config flow does."""
        if path.endswith("?domain=meshmonitor"):
            return []
        if body is not None and "handler" in body:
            return {"type": "menu", "flow_id": "1"}
        if body is not None and "next_step_id" in body:
            return {"type": "form", "step_id": body["next_step_id"]}
        return self.step


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (
            {
                "type": "form",
                "errors": {"base": "port_in_use"},
                "description_placeholders": {"detail": "4404"},
            },
            "Another program on this host uses port 4404.",
        ),
        (
            {"type": "abort", "reason": "already_configured", "description_placeholders": None},
            "This radio is already set up.",
        ),
    ],
)
async def test_what_the_flow_refuses_is_told(step: dict[str, object], said: str) -> None:
    """In the words of the page, with the radio that it is about."""
    home_assistant = Refusing(PROJECT / ".dev" / "x", 8123)
    home_assistant.step = step
    source = Source.tcp("meshtastic", "radio.lan", 4403)
    with pytest.raises(Failure, match=f"^Meshtastic at radio.lan:4403: {said}$"):
        await set_up(home_assistant, [source])


@pytest.mark.usefixtures("socket_enabled")
def test_a_taken_port_is_named() -> None:
    """Who has the port does not matter: it is said before anything is started."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Failure, match=f"port {port}, for the page, is taken"):
            require_free(port, "the page")
    require_free(port, "the page")


@pytest.mark.usefixtures("socket_enabled")
def test_a_failure_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What goes wrong is told without a traceback, and in the exit status."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setattr("scripts.develop.PAGE_PORT", taken.getsockname()[1])
        monkeypatch.setattr(sys, "argv", ["develop", "--host", "radio.lan"])
        assert main() == 1
    assert capsys.readouterr().err.startswith("scripts/develop: port ")


def test_the_welcome_says_where_to_look() -> None:
    """The page, the user, the virtual node's port and the folder."""
    text = welcome(HomeAssistant(PROJECT / ".dev" / "x", 8123), parse(["--host", "radio.lan"]))
    for part in ("http://127.0.0.1:8123", "dev", "radio.lan:4403", "4404", ".dev/x", "Ctrl-C"):
        assert part in text


def test_the_folder_is_ready_for_a_first_start(tmp_path: Path) -> None:
    """The integration is linked in; a second start keeps what the first one has stored."""
    home_assistant = HomeAssistant(tmp_path, 8123)
    home_assistant.prepare(52.0, 5.0)
    linked = tmp_path / "custom_components" / "meshmonitor" / "manifest.json"
    assert linked.samefile(PROJECT / "custom_components" / "meshmonitor" / "manifest.json")
    assert "latitude: 52.0" in (tmp_path / "configuration.yaml").read_text()

    onboarding = tmp_path / ".storage" / "onboarding"
    onboarding.write_text("{}")
    home_assistant.prepare(0.0, 0.0)
    assert onboarding.read_text() == "{}"
    assert "latitude: 52.0" in (tmp_path / "configuration.yaml").read_text()
