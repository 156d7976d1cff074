"""What clients have missed: who finds it, in which order, and how often."""

import json
from typing import Any

from hypothesis import given, settings, strategies as st
import pytest

from custom_components.meshmonitor.mesh.backlog import (
    MAX_AGE,
    MAX_ENTRIES,
    MAX_KEYS,
    Backlog,
    Entry,
    Reader,
)

HOME = "192.168.1.7"
NOW = 1_800_000_000.0


class App:
    """A client that reads what it is sent, or has left the network without a word."""

    def __init__(self, backlog: Backlog, name: str, key: str = HOME) -> None:
        self.backlog = backlog
        self.got: list[bytes] = []
        self.position = 0
        self.acknowledged = 0
        self.is_reachable = True
        self.reader: Reader = backlog.join(name, key, lambda: self.acknowledged)

    def take(self, entries: list[Entry]) -> None:
        """Be sent these entries."""
        for entry in entries:
            self.position += len(entry.frame)
            self.reader.given(entry.number, self.position)
            if self.is_reachable:
                self.got.append(entry.frame)
                self.acknowledged = self.position

    def open(self) -> list[bytes]:
        """Complete the handshake; returns what was missed."""
        missed = self.backlog.open(self.reader, NOW)
        self.take(missed)
        return [entry.frame for entry in missed]

    def leave(self) -> None:
        """End the connection."""
        self.backlog.leave(self.reader)


def visit(backlog: Backlog, name: str, key: str = HOME) -> list[bytes]:
    """Connect, see what was missed, and leave."""
    app = App(backlog, name, key)
    missed = app.open()
    app.leave()
    return missed


def say(backlog: Backlog, text: bytes, *apps: App, sender: App | None = None) -> None:
    """Let a message come while these apps are connected."""
    entry = backlog.add(text, NOW, sender=None if sender is None else sender.reader.name)
    assert entry is not None
    for app in apps:
        if backlog.is_due(app.reader, entry):
            app.take([entry])


def test_one_that_comes_back_finds_what_came_meanwhile_in_order_and_once() -> None:
    """One that comes back finds what came meanwhile in order and once."""
    backlog = Backlog()
    first = App(backlog, "1")
    assert first.open() == []
    say(backlog, b"there", first)
    first.leave()
    say(backlog, b"a")
    say(backlog, b"b")
    second = App(backlog, "2")
    say(backlog, b"c", second)
    assert second.got == []
    assert second.open() == [b"a", b"b", b"c"]
    assert second.open() == []
    say(backlog, b"d", second)
    assert second.got == [b"a", b"b", b"c", b"d"]
    second.leave()
    assert visit(backlog, "3") == []


def test_one_that_was_never_here_finds_nothing_old() -> None:
    """One that was never here finds nothing old."""
    backlog = Backlog()
    say(backlog, b"old")
    new = App(backlog, "1")
    say(backlog, b"new", new)
    assert new.got == [b"new"]
    assert new.open() == []


def test_a_connection_that_never_had_its_history_moves_nothing() -> None:
    """A connection that never had its history moves nothing."""
    backlog = Backlog()
    known = App(backlog, "1")
    known.open()
    known.leave()
    say(backlog, b"missed")
    scan = App(backlog, "2")
    say(backlog, b"too", scan)
    assert [entry.frame for entry in backlog.waive(scan.reader, NOW)] == [b"too"]
    scan.leave()
    assert visit(backlog, "3") == [b"missed", b"too"]


def test_history_goes_before_what_comes_while_it_is_waited_for() -> None:
    """History goes before what comes while it is waited for."""
    backlog = Backlog()
    known = App(backlog, "1")
    known.open()
    known.leave()
    say(backlog, b"missed")
    back = App(backlog, "2")
    assert backlog.begin(back.reader, NOW) == []
    say(backlog, b"new", back)
    assert back.got == []
    assert back.open() == [b"missed", b"new"]


def test_what_was_waived_first_can_still_be_had() -> None:
    """What was waived first can still be had, and what was given is not given again."""
    backlog = Backlog()
    known = App(backlog, "1")
    known.open()
    known.leave()
    say(backlog, b"missed")
    back = App(backlog, "2")
    say(backlog, b"held", back)
    back.take(backlog.waive(back.reader, NOW))
    say(backlog, b"new", back)
    assert back.got == [b"held", b"new"]
    assert backlog.waive(back.reader, NOW) == []
    assert back.open() == [b"missed"]


def test_what_never_arrived_is_found_by_the_next_connection() -> None:
    """What never arrived is found by the next connection, however the last one ended."""
    backlog = Backlog()
    phone = App(backlog, "1")
    phone.open()
    say(backlog, b"arrived", phone)
    phone.is_reachable = False
    say(backlog, b"lost", phone)
    phone.leave()
    assert visit(backlog, "2") == [b"lost"]


def test_a_half_open_connection_does_not_keep_messages_from_its_successor() -> None:
    """A half-open connection does not keep messages from its successor, nor give them twice."""
    backlog = Backlog()
    gone = App(backlog, "1")
    gone.open()
    gone.is_reachable = False
    say(backlog, b"lost", gone)
    back = App(backlog, "2")
    assert back.open() == [b"lost"]
    say(backlog, b"new", gone, back)
    gone.leave()
    assert visit(backlog, "3") == []
    back.leave()
    assert visit(backlog, "4") == []


def test_a_successor_that_is_lost_too_leaves_the_place_where_it_was() -> None:
    """A successor that is lost too leaves the place where it was."""
    backlog = Backlog()
    gone = App(backlog, "1")
    gone.open()
    gone.is_reachable = False
    say(backlog, b"lost", gone)
    back = App(backlog, "2")
    back.is_reachable = False
    back.open()
    gone.leave()
    back.leave()
    assert visit(backlog, "3") == [b"lost"]


def test_one_that_was_only_slow_is_taken_for_present_again() -> None:
    """One that was only slow is taken for present again."""
    backlog = Backlog()
    slow = App(backlog, "1")
    slow.open()
    slow.is_reachable = False
    say(backlog, b"on its way", slow)
    other = App(backlog, "2")
    other.open()
    slow.is_reachable, slow.acknowledged = True, slow.position
    other.leave()
    say(backlog, b"later", slow)
    slow.leave()
    assert visit(backlog, "3") == []


def test_two_apps_of_one_key_are_both_there() -> None:
    """Two apps of one key are both there, and the last to go leaves the place."""
    backlog = Backlog()
    one, two = App(backlog, "1"), App(backlog, "2")
    one.open()
    two.open()
    say(backlog, b"a", one, two)
    one.leave()
    say(backlog, b"b", two)
    assert visit(backlog, "3") == []
    two.leave()
    say(backlog, b"c")
    assert visit(backlog, "4") == [b"c"]


def test_nobody_misses_what_it_sent_itself() -> None:
    """Nobody misses what it sent itself, also when it was gone before the radio took it."""
    backlog = Backlog()
    sender, other = App(backlog, "1"), App(backlog, "2", "192.168.1.8")
    sender.open()
    other.open()
    say(backlog, b"mine", sender, other, sender=sender)
    assert (sender.got, other.got) == ([], [b"mine"])
    sender.leave()
    other.leave()
    say(backlog, b"taken late", sender=sender)
    assert visit(backlog, "3") == []
    assert visit(backlog, "4", "192.168.1.8") == [b"taken late"]
    back = App(backlog, "5")
    back.open()
    say(backlog, b"taken later still", back, sender=sender)
    assert back.got == []


def test_two_apps_of_one_key_see_what_the_other_sends() -> None:
    """Two apps of one key see what the other sends, also before their handshake."""
    backlog = Backlog()
    one, two, three = App(backlog, "1"), App(backlog, "2"), App(backlog, "3")
    one.open()
    two.open()
    say(backlog, b"from one", one, two, sender=one)
    assert (one.got, two.got) == ([], [b"from one"])
    assert three.open() == [b"from one"]


def test_an_app_beside_one_that_has_gone_sees_what_that_sent() -> None:
    """One that sends and leaves at once is no other app of its key: only a successor may be."""
    backlog = Backlog()
    sender, beside, waiting = App(backlog, "1"), App(backlog, "2"), App(backlog, "3")
    beside.open()
    sender.open()
    sender.leave()
    successor = App(backlog, "4")
    successor.open()
    say(backlog, b"taken late", beside, successor, sender=sender)
    assert (beside.got, successor.got) == ([b"taken late"], [])
    assert waiting.open() == [b"taken late"]
    for app in (beside, waiting, successor):
        app.leave()
    assert visit(backlog, "5") == []


def test_the_same_message_is_kept_once() -> None:
    """The same message is kept once; one that nothing identifies is always another."""
    backlog = Backlog()
    assert backlog.add(b"a", NOW, identity=(1, 2)) is not None
    assert backlog.add(b"a", NOW, identity=(1, 2)) is None
    assert backlog.add(b"b", NOW) is not None
    assert backlog.add(b"b", NOW) is not None
    assert len(backlog) == 3


def test_number_and_age_are_bounded() -> None:
    """Number and age are bounded: the oldest goes first."""
    backlog = Backlog()
    known = App(backlog, "1")
    known.open()
    known.leave()
    for number in range(MAX_ENTRIES + 5):
        backlog.add(b"%d" % number, NOW + number)
    assert len(backlog) == MAX_ENTRIES
    back = App(backlog, "2")
    assert backlog.open(back.reader, NOW)[0].frame == b"5"
    assert backlog.snapshot(NOW + MAX_AGE + 5)["entries"][0][1] == NOW + 5
    assert backlog.snapshot(NOW + MAX_AGE + 1e6)["entries"] == []


def test_a_clock_that_jumps_costs_no_order() -> None:
    """A clock that jumps back costs neither order nor messages."""
    backlog = Backlog()
    known = App(backlog, "1")
    known.open()
    known.leave()
    backlog.add(b"a", NOW)
    backlog.add(b"b", NOW - 40 * 86400)
    backlog.add(b"c", NOW)
    assert visit(backlog, "2") == [b"a", b"b", b"c"]


def test_the_longest_unseen_is_forgotten_first() -> None:
    """The longest unseen is forgotten first, and is as new then."""
    backlog = Backlog()
    for number in range(MAX_KEYS + 1):
        app = App(backlog, f"{number}", f"10.0.{number // 256}.{number % 256}")
        app.open()
        app.leave()
    say(backlog, b"missed")
    assert visit(backlog, "a", "10.0.0.0") == []
    assert visit(backlog, "b", "10.0.0.2") == [b"missed"]


def test_who_is_there_for_long_is_known_however_many_come_and_go() -> None:
    """One that stays is known as the sender of its texts, however many come and go beside it."""
    backlog = Backlog()
    stays = App(backlog, "stays")
    stays.open()
    for number in range(MAX_KEYS + 1):
        visit(backlog, f"{number}", "10.0.0.2")
    say(backlog, b"own", stays, sender=stays)
    assert stays.got == []
    stays.leave()
    assert visit(backlog, "again") == []
    assert visit(backlog, "other", "10.0.0.2") == [b"own"]


def test_it_survives_a_restart() -> None:
    """It survives a restart: entries, places, and what was on its way when it was written."""
    backlog = Backlog()
    there, away = App(backlog, "1"), App(backlog, "2", "10.0.0.2")
    there.open()
    away.open()
    away.leave()
    say(backlog, b"a", there)
    there.is_reachable = False
    say(backlog, b"\x00\xff", there)
    say(backlog, b"own", sender=there)
    restored = Backlog()
    restored.restore(json.loads(json.dumps(backlog.snapshot(NOW))), NOW)
    say(restored, b"c")
    assert visit(restored, "1") == [b"\x00\xff", b"c"]
    assert visit(restored, "2", "10.0.0.2") == [b"a", b"\x00\xff", b"own", b"c"]
    assert visit(restored, "3", "10.0.0.3") == []


@pytest.mark.parametrize(
    "damage",
    [
        None,
        [],
        {},
        {"version": 2},
        {"entries": None},
        {"entries": [[1, 2]]},
        {"entries": [["x", NOW, "", None]]},
        {"entries": [[1, NOW, "no base64", None]]},
        {"entries": [[1, NOW, "YQ==", 7]]},
        {"entries": [[1, float("nan"), "YQ==", None]]},
        {"entries": [[2, NOW, "YQ==", None], [1, NOW, "YQ==", None]]},
        {"next": 0},
        {"next": float("inf")},
        {"places": {"a": 99}},
        {"places": {"a": 0}},
        {"places": ["a"]},
    ],
)
def test_damaged_snapshots_are_refused_whole(damage: Any) -> None:
    """Damaged snapshots are refused whole."""
    good = Backlog()
    good.add(b"a", NOW)
    snapshot = {**good.snapshot(NOW), **damage} if isinstance(damage, dict) and damage else damage
    backlog = Backlog()
    with pytest.raises(ValueError):
        backlog.restore(snapshot, NOW)
    assert (len(backlog), backlog.end) == (0, 1)


class World:
    """Phones that come, go, vanish and come back, one for each key, and a program that restarts."""

    def __init__(self) -> None:
        self.backlog = Backlog()
        self.apps: list[App] = []
        self.got: dict[str, list[bytes]] = {}
        self.due: dict[str, list[bytes]] = {}
        self.names = iter(range(10_000))

    def present(self, key: str) -> App | None:
        """Return the connection of a key whose phone is in reach."""
        return next((a for a in self.apps if a.reader.key == key and a.is_reachable), None)

    def say(self, text: bytes) -> None:
        """Let a message come."""
        say(self.backlog, text, *[app for app in self.apps if app.reader.is_open])
        for texts in self.due.values():
            texts.append(text)

    def come(self, key: str) -> None:
        """Let a phone connect."""
        if self.present(key) is None:
            self.apps.append(App(self.backlog, f"{next(self.names)}", key))

    def open(self, key: str) -> None:
        """Let a phone complete its handshake."""
        if (app := self.present(key)) is not None:
            app.open()
            self.due.setdefault(key, list(app.got))

    def vanish(self, key: str) -> None:
        """Let a phone leave the network."""
        if (app := self.present(key)) is not None:
            app.is_reachable = False

    def end(self, key: str) -> None:
        """Let the oldest connection of a phone end, by itself or because nobody is there."""
        app = next((app for app in self.apps if app.reader.key == key), None)
        if app is not None:
            self.apps.remove(app)
            app.leave()
            self.got.setdefault(key, []).extend(app.got)

    def restart(self, key: str) -> None:
        """Restart the program."""
        snapshot = json.loads(json.dumps(self.backlog.snapshot(NOW)))
        for app in self.apps:
            self.got.setdefault(app.reader.key, []).extend(app.got)
        self.backlog, self.apps = Backlog(), []
        self.backlog.restore(snapshot, NOW)


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_whatever_happens_everyone_gets_everything_in_order(data: st.DataObject) -> None:
    """Whatever happens, everyone gets everything since its first visit, in order and once."""
    world = World()
    steps = [world.come, world.open, world.vanish, world.end, world.restart]
    for number in range(data.draw(st.integers(1, 60))):
        if data.draw(st.booleans()):
            world.say(b"%d" % number)
        else:
            data.draw(st.sampled_from(steps))(data.draw(st.sampled_from("abc")))
    for key, texts in world.due.items():
        world.come(key)
        world.open(key)
        while any(app.reader.key == key for app in world.apps):
            world.end(key)
        assert world.got[key] == texts
