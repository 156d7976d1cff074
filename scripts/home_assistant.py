"""A real Home Assistant as a process of its own, with this integration in it.

It needs no internet: what it would install is there (scripts/setup), and the parts of its first
start that ask other servers are taken as answered.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from importlib.util import find_spec
import json
import os
from pathlib import Path
import signal
import sys
from typing import Any, Final

import aiohttp

PROJECT: Final = Path(__file__).resolve().parent.parent
TEXTS: Final = PROJECT / "custom_components" / "meshmonitor" / "translations" / "en.json"
USER: Final = "dev"
PASSWORD: Final = "dev"
# Home Assistant asks to be started again with this (homeassistant.const.RESTART_EXIT_CODE).
RESTART: Final = 100
START_SECONDS: Final = 180
STOP_SECONDS: Final = 60
POLL_SECONDS: Final = 0.2
# What Home Assistant's voice parts import, and what they want of it. It has to be compiled; without
# it the services can not be listed, and the page waits for that list before it shows anything.
VOICE: Final = {"pymicro_vad": "MicroVad", "pyspeex_noise": "AudioProcessor"}

CONFIGURATION: Final = """\
# Written by scripts/develop when this folder was made. Change it as you like.
homeassistant:
  name: MeshMonitor
  latitude: {latitude}
  longitude: {longitude}
  elevation: 5
  unit_system: metric
  time_zone: Europe/Amsterdam
  country: NL
  currency: EUR

automation: !include automations.yaml
config:
frontend:
history:
logbook:
  # Messages are shown once, as sentences, and not between each time that a node was heard.
  exclude:
    entity_globs:
      - event.*_message
      - event.*_delivery
      - sensor.*_last_heard
usb:
zeroconf:

logger:
  default: warning
  logs:
    custom_components.meshmonitor: info
    # Nothing here plays films or takes pictures.
    haffmpeg: fatal
    homeassistant.components.camera.img_util: fatal
"""


class Failure(Exception):
    """What the person at the terminal is to be told."""


async def until[T](ask: Callable[[], Awaitable[T | None]], what: str) -> T:
    """Ask again and again until there is an answer; raise Failure when it takes too long."""
    try:
        async with asyncio.timeout(START_SECONDS):
            while (answer := await ask()) is None:
                await asyncio.sleep(POLL_SECONDS)
            return answer
    except TimeoutError as err:
        raise Failure(f"{what}: nothing within {START_SECONDS} s") from err


class HomeAssistant:
    """One Home Assistant, with its data in a folder of its own, on 127.0.0.1."""

    def __init__(self, folder: Path, port: int) -> None:
        """Say where its data is and on which port its page will be."""
        self.folder = folder
        self._stand_ins = folder / "stand_ins"
        self.url = f"http://127.0.0.1:{port}"
        self._port = port
        self._process: asyncio.subprocess.Process | None = None
        self._session: aiohttp.ClientSession | None = None
        self._refresh_token: str | None = None

    def prepare(self, latitude: float, longitude: float) -> None:
        """Make the folder, at home at the given degrees, if it is not there yet."""
        integration = self.folder / "custom_components" / "meshmonitor"
        integration.parent.mkdir(parents=True, exist_ok=True)
        integration.unlink(missing_ok=True)
        integration.symlink_to(PROJECT / "custom_components" / "meshmonitor")
        for module, name in VOICE.items():
            stand_in = self._stand_ins / f"{module}.py"
            stand_in.parent.mkdir(exist_ok=True)
            if find_spec(module) is None:
                stand_in.write_text(f'class {name}:\n    """Nobody listens here."""\n')
            else:
                stand_in.unlink(missing_ok=True)
        configuration = self.folder / "configuration.yaml"
        if not configuration.exists():
            configuration.write_text(CONFIGURATION.format(latitude=latitude, longitude=longitude))
            # The page keeps its automations there.
            (self.folder / "automations.yaml").write_text("[]\n")
            # All of the first start but the user: the rest of it would ask servers elsewhere.
            self._store("onboarding", 4, 1, {"done": ["core_config", "analytics", "integration"]})
        # Home Assistant takes an address from its configuration for a trial of five minutes; what
        # stands in its storage is settled.
        server = {
            "server_host": ["127.0.0.1"],
            "server_port": self._port,
            "cors_allowed_origins": [],
            "login_attempts_threshold": -1,
            "ip_ban_enabled": False,
            "ssl_profile": "modern",
            "use_x_frame_options": True,
            "created_at": "2026-01-01T00:00:00+00:00",
            "error": None,
            "error_message": None,
        }
        self._store("http", 2, 2, {"stable": server, "pending": None, "yaml_migration_done": True})

    def _store(self, key: str, version: int, minor_version: int, data: Mapping[str, Any]) -> None:
        file = self.folder / ".storage" / key
        file.parent.mkdir(exist_ok=True)
        content = {"version": version, "minor_version": minor_version, "key": key, "data": data}
        file.write_text(json.dumps(content))

    async def run(self) -> int:
        """Run until it ends by itself, or is stopped; return its exit status."""
        program = [sys.executable, "-m", "homeassistant", "--config", str(self.folder)]
        path = [str(self._stand_ins), *filter(None, [os.environ.get("PYTHONPATH")])]
        while True:
            self._process = await asyncio.create_subprocess_exec(
                *program,
                "--skip-pip",
                cwd=PROJECT,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
                start_new_session=True,
            )
            try:
                status = await self._process.wait()
            finally:
                await end(self._process)
            if status != RESTART:
                return status

    async def connect(self) -> None:
        """Wait until it runs, and log in; the first time also make the user.

        Raises Failure when it does not answer in time, or not as expected.
        """
        self._session = aiohttp.ClientSession(self.url)
        code = await (self._log_in() if self._has_user() else self._make_user())
        fields = {"grant_type": "authorization_code", "code": code, "client_id": f"{self.url}/"}
        async with self._session.post("/auth/token", data=fields) as response:
            tokens = await response.json()
        self._refresh_token = tokens["refresh_token"]
        self._session.headers["Authorization"] = f"Bearer {tokens['access_token']}"
        await until(self._running, "Home Assistant's start")

    async def disconnect(self) -> None:
        """Log out; Home Assistant goes on."""
        if self._session is None:
            return
        async with self._session:
            if self._refresh_token is not None:
                await self._session.post("/auth/revoke", data={"token": self._refresh_token})

    def _has_user(self) -> bool:
        stored = json.loads((self.folder / ".storage" / "onboarding").read_text())
        return "user" in stored["data"]["done"]

    async def _make_user(self) -> str:
        who = {"name": "Developer", "username": USER, "password": PASSWORD, "language": "en"}
        made = await until(
            lambda: self._post_when_there("/api/onboarding/users", who), "Home Assistant's page"
        )
        return str(made["auth_code"])

    async def _log_in(self) -> str:
        asked = {"handler": ["homeassistant", None], "redirect_uri": f"{self.url}/"}
        flow = await until(
            lambda: self._post_when_there("/auth/login_flow", asked), "Home Assistant's page"
        )
        who = {"username": USER, "password": PASSWORD}
        result = await self._post_when_there(f"/auth/login_flow/{flow['flow_id']}", who)
        if result is None or result["type"] != "create_entry":
            raise Failure(f"user {USER} with password {PASSWORD} is refused")
        return str(result["result"])

    async def _post_when_there(self, path: str, body: Mapping[str, Any]) -> Any | None:
        """Return the answer, or None while there is nobody yet to give one."""
        assert self._session is not None
        try:
            async with self._session.post(
                path, json={"client_id": f"{self.url}/", **body}
            ) as response:
                if response.status == HTTPStatus.NOT_FOUND:
                    return None
                return await self._answer(response)
        except aiohttp.ClientConnectionError:
            return None

    async def _running(self) -> bool | None:
        configuration = await self.call("GET", "/api/config")
        return True if configuration["state"] == "RUNNING" else None

    async def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Call Home Assistant's REST API and return what it answers.

        Raises Failure for an answer that is an error.
        """
        assert self._session is not None
        async with self._session.request(method, path, json=body) as response:
            return await self._answer(response)

    async def _answer(self, response: aiohttp.ClientResponse) -> Any:
        if not response.ok:
            raise Failure(f"{response.url.path}: {response.status} {await response.text()}")
        return await response.json()

    async def sources(self) -> list[dict[str, Any]]:
        """Return the sources that have been added, with `title`, `state` and `reason` of each."""
        path = "/api/config/config_entries/entry?domain=meshmonitor"
        found: list[dict[str, Any]] = await self.call("GET", path)
        return found

    async def add_source(self, kind: str, answers: Mapping[str, Any]) -> str:
        """Add a source by the config flow, as the page does, and return its title.

        `kind` is an entry of the flow's menu, `answers` what its form is filled in with. Forms
        that follow keep what they propose. Raises Failure, with what the page would say, when the
        flow finds fault.
        """
        flows = "/api/config/config_entries/flow"
        step = await self.call("POST", flows, {"handler": "meshmonitor"})
        flow = f"{flows}/{step['flow_id']}"
        step = await self.call("POST", flow, {"next_step_id": kind})
        while step["type"] == "form":
            step = await self.call("POST", flow, answers if step["step_id"] == kind else {})
            if errors := step.get("errors"):
                raise Failure(" ".join(_text("error", error, step) for error in errors.values()))
        if step["type"] != "create_entry":
            raise Failure(_text("abort", step.get("reason", step["type"]), step))
        return str(step["title"])


def _text(kind: str, key: str, step: Mapping[str, Any]) -> str:
    """Return what the config flow says in a step; a key that has no text says itself."""
    texts: dict[str, str] = json.loads(TEXTS.read_text())["config"][kind]
    return texts.get(key, key).format(**(step.get("description_placeholders") or {}))


async def end(process: asyncio.subprocess.Process) -> None:
    """End a process that leads a session of its own, and all that it has started."""
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
