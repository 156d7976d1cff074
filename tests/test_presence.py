"""A node is online for a while from when it was heard, as long as there is a radio to hear."""

from collections import deque
from collections.abc import Iterable, Iterator
from datetime import timedelta
import time

from freezegun.api import FrozenDateTimeFactory
from homeassistant.core import HomeAssistant
import pytest
from pytest_homeassistant_custom_component.common import async_fire_time_changed

from custom_components.meshmonitor.mesh.model import Node
from custom_components.meshmonitor.presence import (
    Presence,
    PresenceChanged,
    PresenceEvent,
    PresenceFound,
    PresenceRead,
    heard_until,
)
from custom_components.meshmonitor.protocols import PROTOCOLS
from tests.ha import make_entry, set_up, wait_until
from tests.simulators.meshtastic_node import SimulatedNode

ONLINE_LIMIT = PROTOCOLS["meshtastic"].online_limit
ONE, TWO, THREE, OWN = "!00000001", "!00000002", "!00000003", "!0000000a"


class Stage:
    """A presence, and what it told."""

    def __init__(self, hass: HomeAssistant, freezer: FrozenDateTimeFactory) -> None:
        """Begin without nodes."""
        self.told: list[tuple[str, bool]] = []
        self.found: list[str] = []
        self.read = 0
        self.works: deque[Iterator[object]] = deque()
        self.presence = Presence(hass, self._do, self._note, ONLINE_LIMIT)
        self._hass = hass
        self._freezer = freezer

    def _do(self, work: Iterable[object]) -> None:
        self.works.append(iter(work))

    def _note(self, event: PresenceEvent) -> None:
        match event:
            case PresenceChanged():
                assert self.presence.is_online(event.node_id) is event.is_online
                self.told.append((event.node_id, event.is_online))
            case PresenceFound():
                assert self.presence.is_online(event.node_id)
                self.found.append(event.node_id)
            case PresenceRead():
                self.read += 1

    def ready(self, *nodes: Node, pieces: int | None = None) -> None:
        """Let the radio be there, and do so many pieces of what there is to do then."""
        known = {node.node_id: node for node in nodes}
        self.presence.radio_ready(known, known.get)
        self.work(pieces)

    def work(self, pieces: int | None = None) -> None:
        """Do some pieces of what is left to do, or all."""
        while self.works and pieces != 0:
            if next(self.works[0], self) is self:
                self.works.popleft()
            elif pieces is not None:
                pieces -= 1

    def heard(self, node_id: str, ago: float = 0.0) -> Node:
        """Return a node that was heard some seconds ago."""
        return Node(node_id=node_id, last_heard=time.time() - ago)

    async def pass_time(self, seconds: float) -> None:
        """Let time go by."""
        self._freezer.tick(timedelta(seconds=seconds))
        async_fire_time_changed(self._hass)
        await self._hass.async_block_till_done()
        self.work()


@pytest.fixture(name="stage")
def stage_fixture(hass: HomeAssistant, freezer: FrozenDateTimeFactory) -> Iterator[Stage]:
    """Yield a presence that leaves no timer behind."""
    stage = Stage(hass, freezer)
    yield stage
    stage.presence.stop()


def test_rule() -> None:
    """The limit from when it was heard; a clock that runs ahead gains nothing."""
    assert heard_until(Node(node_id=ONE), 1000.0, 50.0) is None
    assert heard_until(Node(node_id=ONE, last_heard=900.0), 1000.0, 50.0) == 950.0
    assert heard_until(Node(node_id=ONE, last_heard=1200.0), 1000.0, 50.0) == 1050.0


async def test_first_reading_is_no_news(stage: Stage) -> None:
    """Whoever is there at the start did not come just now; the own radio is not watched."""
    presence = stage.presence
    presence.restore([stage.heard(ONE, ago=60), stage.heard(TWO, ago=ONLINE_LIMIT)])
    assert presence.online == {ONE}
    presence.node_changed(stage.heard(TWO))
    assert presence.online == {ONE}
    stage.ready(stage.heard(TWO), Node(node_id=OWN, is_own=True, last_heard=time.time()))
    assert presence.online == {ONE, TWO}
    assert presence.count == 2
    assert stage.told == []
    assert (stage.found, stage.read) == ([TWO], 1)


async def test_heard_amid_the_first_reading(stage: Stage) -> None:
    """Whom the radio knew is no news, however its packets and the reading meet; a new node is."""
    presence = stage.presence
    stage.ready(stage.heard(ONE), stage.heard(TWO), pieces=1)
    assert (stage.found, stage.told, presence.is_reading) == ([ONE], [], True)
    for node_id in (ONE, TWO, THREE):
        presence.node_changed(stage.heard(node_id))
    stage.work()
    assert (stage.found, stage.told, stage.read) == ([ONE, TWO], [(THREE, True)], 1)
    assert presence.is_reading is False


async def test_forgotten_amid_the_first_reading(stage: Stage) -> None:
    """A node that the radio forgets meanwhile comes online when it is heard again."""
    presence = stage.presence
    nodes = {ONE: stage.heard(ONE), TWO: stage.heard(TWO)}
    presence.radio_ready(nodes, nodes.get)
    del nodes[TWO]
    presence.node_removed(TWO)
    stage.work()
    assert presence.online == {ONE}
    presence.node_changed(stage.heard(TWO))
    assert (stage.found, stage.told) == ([ONE], [(TWO, True)])


async def test_lost_amid_the_first_reading(stage: Stage) -> None:
    """What was not looked at then is no news when the radio is back, either."""
    presence = stage.presence
    stage.ready(stage.heard(ONE), stage.heard(TWO), pieces=1)
    presence.radio_lost()
    stage.work()
    assert (stage.found, stage.read) == ([ONE], 0)
    stage.ready(stage.heard(ONE), stage.heard(TWO), stage.heard(THREE))
    assert presence.online == {ONE, TWO, THREE}
    assert (stage.found, stage.told, stage.read) == ([ONE, TWO], [(THREE, True)], 1)


async def test_heard_just_before_it_would_go(stage: Stage) -> None:
    """Many go piece by piece; one that is heard before its turn stays."""
    presence = stage.presence
    stage.ready(stage.heard(ONE), stage.heard(TWO))
    stage.works.clear()
    stage._freezer.tick(timedelta(seconds=ONLINE_LIMIT + 1))
    async_fire_time_changed(stage._hass)
    await stage._hass.async_block_till_done()
    stage.work(pieces=1)
    assert stage.told == [(ONE, False)]
    presence.node_changed(stage.heard(TWO))
    stage.work()
    assert presence.online == {TWO}
    assert stage.told == [(ONE, False)]


async def test_comes_and_goes(stage: Stage) -> None:
    """Heard it is online, silent for two hours it is not; being heard again puts that off."""
    presence = stage.presence
    stage.ready()
    presence.node_changed(stage.heard(ONE))
    presence.node_changed(stage.heard(ONE))
    assert stage.told == [(ONE, True)]
    await stage.pass_time(ONLINE_LIMIT - 10)
    presence.node_changed(stage.heard(ONE))
    await stage.pass_time(20)
    assert presence.is_online(ONE)
    await stage.pass_time(ONLINE_LIMIT - 30)
    assert stage.told == [(ONE, True)]
    await stage.pass_time(20)
    assert stage.told == [(ONE, True), (ONE, False)]
    presence.node_changed(stage.heard(ONE, ago=ONLINE_LIMIT + 1))
    assert not presence.is_online(ONE)
    presence.node_changed(stage.heard(ONE))
    assert stage.told[2:] == [(ONE, True)]


async def test_one_timer_for_all(hass: HomeAssistant, stage: Stage) -> None:
    """A thousand nodes that fall silent together are told of by one look."""
    stage.ready()
    timers = len(hass.loop._scheduled)  # type: ignore[attr-defined]
    for number in range(1000):
        stage.presence.node_changed(stage.heard(f"!{number:08x}"))
    assert len(hass.loop._scheduled) <= timers + 1  # type: ignore[attr-defined]
    stage.told.clear()
    await stage.pass_time(ONLINE_LIMIT + 1)
    assert len(stage.told) == 1000
    assert not any(is_online for _, is_online in stage.told)
    assert stage.presence.online == frozenset()


async def test_nobody_goes_while_the_radio_is_away(stage: Stage) -> None:
    """Without a radio nobody can be heard; that is nobody's silence."""
    presence = stage.presence
    stage.ready(stage.heard(ONE))
    await stage.pass_time(ONLINE_LIMIT - 100)
    presence.radio_lost()
    presence.radio_lost()
    presence.node_changed(stage.heard(TWO))
    await stage.pass_time(2 * ONLINE_LIMIT)
    assert presence.online == {ONE}
    stage.ready(stage.heard(TWO, ago=50))
    assert stage.told == [(TWO, True)]
    await stage.pass_time(90)
    assert presence.online == {ONE, TWO}
    await stage.pass_time(20)
    assert stage.told == [(TWO, True), (ONE, False)]


async def test_lost_before_it_was_there(stage: Stage) -> None:
    """A radio that has not come yet cannot be lost."""
    stage.presence.restore([stage.heard(ONE)])
    stage.presence.radio_lost()
    await stage.pass_time(ONLINE_LIMIT + 10)
    stage.ready()
    await stage.pass_time(10)
    assert stage.told == [(ONE, False)]


async def test_forgotten_by_the_radio(stage: Stage) -> None:
    """A node that is removed is gone without a word."""
    stage.ready(stage.heard(ONE))
    stage.presence.node_removed(ONE)
    stage.presence.node_removed(TWO)
    assert stage.presence.online == frozenset()
    await stage.pass_time(ONLINE_LIMIT + 10)
    assert stage.told == []


@pytest.mark.usefixtures("unload")
async def test_of_a_source(hass: HomeAssistant, node: SimulatedNode) -> None:
    """What is heard over the radio makes a node online; listeners for others hear nothing."""
    coordinator = await set_up(hass, make_entry(node))
    assert coordinator.presence.online == frozenset()
    told: list[PresenceChanged] = []
    others: list[PresenceChanged] = []
    peer = f"!{node.peer(0).num:08x}"
    coordinator.subscribe(PresenceChanged, told.append, node_id=peer)
    coordinator.subscribe(PresenceChanged, others.append, node_id=ONE)
    await node.send_node_info(node.peer(0).num)
    await wait_until(lambda: told, "its coming")
    assert told == [PresenceChanged(peer, is_online=True)]
    assert coordinator.presence.online == {peer}
    assert others == []

    node.drop()
    await wait_until(lambda: not coordinator.is_available, "the loss")
    await wait_until(lambda: coordinator.is_available, "the link")
    assert coordinator.presence.online == {peer}
    assert len(told) == 1
