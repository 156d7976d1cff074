"""What is remembered of the device, and how it follows changes."""

import json
from typing import Any

from hypothesis import given, strategies as st
import pytest

from custom_components.meshmonitor.meshcore.codes import Cmd, Resp
from custom_components.meshmonitor.meshcore.contacts import MAX_CONTACTS, ContactTable, ReadResult
from custom_components.meshmonitor.meshcore.frames import Contact
from custom_components.meshmonitor.meshcore.framing import all_to_app
from custom_components.meshmonitor.meshcore.mirror import READ_DEVICE, READ_SELF, Mirror
from custom_components.meshmonitor.meshcore.policy import Answer, Rights, decide

from .test_policy import full_mirror


def contact(number: int, lastmod: int = 100) -> bytes:
    """Return the frame of some contact."""
    key = bytes([number]) * 32
    return Contact(public_key=key, adv_type=1, name=f"C{number}", lastmod=lastmod).build()


def table(*frames: bytes) -> ContactTable:
    """Return a table that has read these contacts."""
    contacts = ContactTable()
    contacts.begin_read()
    assert contacts.end_read(len(frames), frames) is ReadResult.COMPLETE
    return contacts


def test_a_whole_list_is_complete_and_in_order() -> None:
    """As the device sent it, byte for byte."""
    frames = [contact(3), contact(1), contact(2)]
    contacts = table(*frames)
    assert contacts.is_complete
    assert contacts.serve(0)[1:-1] == frames


def test_an_empty_device_is_complete() -> None:
    """None announced, none sent."""
    assert table().serve(0) == [b"\x02" + bytes(4), b"\x04" + bytes(4)]


def test_lost_frames_make_no_list() -> None:
    """A first read that lacks some is not served; two that complement each other are."""
    contacts = ContactTable()
    contacts.begin_read()
    assert contacts.end_read(3, [contact(1), contact(2)]) is ReadResult.PARTIAL
    assert not contacts.is_complete
    contacts.begin_read()
    assert contacts.end_read(3, [contact(2), contact(3)]) is ReadResult.COMPLETE
    assert len(contacts.frames) == 3


def test_a_flaky_read_never_shortens_the_list() -> None:
    """What was known stays, what is new is added."""
    contacts = table(contact(1), contact(2), contact(3))
    contacts.begin_read()
    assert contacts.end_read(3, [contact(2, lastmod=200)]) is ReadResult.PARTIAL
    assert len(contacts.frames) == 3
    assert contacts.is_complete
    assert contacts.frames[b"\x02" * 32] == contact(2, lastmod=200)


def test_contacts_go_when_two_reads_agree() -> None:
    """One read without them might be a device that has not loaded its list."""
    contacts = table(contact(1), contact(2))
    contacts.begin_read()
    assert contacts.end_read(0, []) is ReadResult.UNCONFIRMED
    assert len(contacts.frames) == 2
    contacts.begin_read()
    assert contacts.end_read(1, [contact(1)]) is ReadResult.UNCONFIRMED
    contacts.begin_read()
    assert contacts.end_read(1, [contact(1)]) is ReadResult.COMPLETE
    assert list(contacts.frames) == [b"\x01" * 32]
    assert contacts.removed == {b"\x02" * 32}


def test_what_changes_during_a_read_is_newer_than_the_read() -> None:
    """A contact deleted or fetched meanwhile is not undone by its earlier frame."""
    contacts = table(contact(1), contact(2), contact(3))
    contacts.begin_read()
    contacts.remove(b"\x01" * 32)
    contacts.put(contact(2, lastmod=300))
    contacts.put(contact(4))
    result = contacts.end_read(3, [contact(1), contact(2), contact(3)])
    assert result is ReadResult.COMPLETE
    assert set(contacts.frames) == {bytes([n]) * 32 for n in (2, 3, 4)}
    assert contacts.frames[b"\x02" * 32] == contact(2, lastmod=300)


def test_contacts_are_bounded() -> None:
    """A radio that has ever other contacts fills no memory, by lists, answers or pushes."""
    mirror = Mirror()
    contacts = mirror.contacts
    for round_ in range(3):
        keys = [(round_ * MAX_CONTACTS + n).to_bytes(32) for n in range(MAX_CONTACTS)]
        frames = [b"\x03" + key + bytes(115) for key in keys]
        contacts.begin_read()
        assert contacts.end_read(1 << 30, frames) is ReadResult.PARTIAL
        for frame in frames:
            contacts.put(frame)
            mirror.heard(b"\x80" + frame[1:33])
    assert len(contacts.frames) == MAX_CONTACTS
    assert len(contacts._collected) <= 2 * MAX_CONTACTS
    assert len(mirror._wanted) == MAX_CONTACTS


def test_changes_are_told_once() -> None:
    """Who shows contacts elsewhere needs to know what changed."""
    contacts = table(contact(1))
    assert contacts.changed == {b"\x01" * 32}
    contacts.changed.clear()
    contacts.put(contact(1))
    assert contacts.changed == set()
    contacts.put(contact(1, lastmod=101))
    assert contacts.changed == {b"\x01" * 32}


@given(st.lists(st.tuples(st.sampled_from("pdrc"), st.integers(1, 4), st.integers(0, 3))))
def test_the_ready_made_list_is_never_an_old_one(changes: list[tuple[str, int, int]]) -> None:
    """Whatever happens to the contacts: it is the list that would be made at that moment."""
    contacts = table(contact(1), contact(2), contact(3))
    for kind, number, lastmod in changes:
        assert contacts.replay(0) == all_to_app(contacts.serve(0))
        assert contacts.replay(lastmod) == all_to_app(contacts.serve(lastmod))
        if kind == "p":
            contacts.put(contact(number, lastmod))
        elif kind == "d":
            contacts.remove(bytes([number]) * 32)
        elif kind == "r":
            contacts.begin_read()
            contacts.end_read(2, [contact(number, lastmod), contact(number % 4 + 1)])
        else:
            contacts.clear()
    assert contacts.replay(0) == all_to_app(contacts.serve(0))


def test_a_prefix_finds_its_contact() -> None:
    """Messages name their sender by six bytes."""
    contacts = table(contact(1), contact(2))
    assert contacts.with_prefix(b"\x02" * 6) == contact(2)
    assert contacts.with_prefix(b"\x02" * 32) == contact(2)
    assert contacts.with_prefix(b"\x09" * 6) is None
    assert contacts.with_prefix(b"\x02\x02") == contact(2)
    contacts.remove(b"\x02" * 32)
    assert contacts.with_prefix(b"\x02" * 6) is None


def test_keys_that_begin_alike_are_told_apart() -> None:
    """By as much as is given, else it is the first one in the device's order."""
    keys = [b"alike" + bytes([number]) * 27 for number in (1, 2)]
    frames = [Contact(public_key=key, adv_type=1, name="C").build() for key in keys]
    contacts = table(*frames)
    assert [contacts.with_prefix(key[:6]) for key in keys] == frames
    assert contacts.with_prefix(b"alik") == frames[0]
    contacts.begin_read()
    contacts.end_read(2, reversed(frames))
    assert contacts.with_prefix(b"alik") == frames[1]
    contacts.remove(keys[1])
    assert contacts.with_prefix(b"alik") == frames[0]


@pytest.mark.parametrize("code", [0x80, 0x81])
def test_adverts_and_paths_make_the_contact_be_read(code: int) -> None:
    """Once, however often it is pushed; also a contact that was unknown."""
    mirror = full_mirror()
    key = b"\x55" * 32
    push = bytes([code]) + key
    assert mirror.heard(push) == (b"\x1e" + key,)
    assert mirror.heard(push) == ()
    assert mirror.is_wanted(key)
    mirror.learn(b"\x1e" + key, contact(0x55))
    assert mirror.contacts.frames[key] == contact(0x55)
    assert mirror.heard(push) == (b"\x1e" + key,)
    assert mirror.learn(b"\x1e" + key, b"\x01\x02") == ()
    assert key not in mirror.contacts.frames


def test_another_error_does_not_remove_a_contact() -> None:
    """Only 'not found' says that it is not there."""
    mirror = full_mirror()
    (key,) = mirror.contacts.frames
    mirror.learn(b"\x1e" + key, b"\x01\x04")
    assert key in mirror.contacts.frames


def test_a_node_that_is_in_no_list_stays_out_of_it() -> None:
    """One that was sent an anonymous request has a place for itself, not shown to apps."""
    mirror = full_mirror()
    before = dict(mirror.contacts.frames)
    anonymous = Contact(public_key=b"\x55" * 32, adv_type=0, name="", lastmod=9).build()
    assert mirror.heard(b"\x81" + b"\x55" * 32) == (b"\x1e" + b"\x55" * 32,)
    mirror.learn(b"\x1e" + b"\x55" * 32, anonymous)
    mirror.learn(b"\x09" + anonymous[1:], b"\x00")
    assert mirror.contacts.frames == before


def test_who_writes_is_read_again() -> None:
    """Its contact says when it was heard; a line of a repeater's console does not change that."""
    mirror = full_mirror()
    (key,) = mirror.contacts.frames
    head = b"\x07" + key[:6] + b"\x01"
    assert mirror.received(head + b"\x01" + bytes(4) + b"> ok") == ()
    assert mirror.received(head + b"\x00" + bytes(4) + b"hi") == (b"\x1e" + key,)
    assert mirror.received(head + b"\x00" + bytes(4) + b"hi again") == ()
    assert mirror.received(b"\x07stranger" + bytes(8)) == ()
    assert mirror.received(b"\x08\x00\x01\x00" + bytes(4) + b"A: hi") == ()


@pytest.mark.parametrize("code", [Cmd.REMOVE_CONTACT, Cmd.RESET_PATH])
def test_a_contact_that_the_device_does_not_know_is_looked_for(code: int) -> None:
    """It went, and nobody told: an app that removes it must not find it again and again."""
    mirror = full_mirror()
    (key,) = mirror.contacts.frames
    command = bytes([code]) + key
    assert mirror.learn(command, b"\x01\x06") == ()
    assert mirror.learn(command, b"\x01\x02") == (b"\x1e" + key,)
    mirror.learn(b"\x1e" + key, b"\x01\x02")
    assert mirror.contacts.frames == {}
    assert mirror.learn(command, b"\x01\x02") == ()


def test_a_new_advert_is_not_stored() -> None:
    """The device did not store it either; one that we thought stored is asked for."""
    mirror = full_mirror()
    (known,) = mirror.contacts.frames
    assert mirror.heard(b"\x8a" + contact(0x44)[1:]) == ()
    assert list(mirror.contacts.frames) == [known]
    own = b"\x8a" + mirror.contacts.frames[known][1:]
    assert mirror.heard(own) == (b"\x1e" + known,)


def test_a_deleted_contact_goes_at_once() -> None:
    """The device says that it has overwritten it."""
    mirror = full_mirror()
    (key,) = mirror.contacts.frames
    mirror.heard(b"\x8f" + key)
    assert mirror.contacts.frames == {}
    mirror.heard(b"\x90")
    assert mirror.contacts_full


KEY = bytes(range(32))
CHANGES: dict[str, tuple[bytes, tuple[bytes, ...]]] = {
    "name": (b"\x08New Name", (READ_SELF,)),
    "power": (b"\x0c\xfb", (READ_SELF,)),
    "radio": (b"\x0b" + bytes(range(10)) + b"\x01", (READ_SELF, READ_DEVICE)),
    "position": (b"\x0e" + bytes(range(8)), (READ_SELF,)),
    "other": (b"\x26\x01\x15\x01\x02", (READ_SELF,)),
    "channel": (b"\x20\x02" + b"#x".ljust(32, b"\0") + bytes(16), (b"\x1f\x02",)),
    "hash mode": (b"\x3d\x00\x02", (READ_DEVICE,)),
    "tuning": (b"\x15" + bytes(range(8)), (b"\x2b",)),
    "auto-add": (b"\x3a\x1f\x05", (b"\x3b",)),
    "scope": (b"\x3f" + b"eu".ljust(31, b"\0") + bytes(range(16)), (b"\x40",)),
    "contact": (b"\x09" + contact(0x33)[1:], (b"\x1e" + b"\x33" * 32,)),
    "contact changed": (b"\x09" + KEY + b"\x02\x01\xff" + bytes(100), (b"\x1e" + KEY,)),
    "path": (b"\x0d" + KEY, (b"\x1e" + KEY,)),
    "removal": (b"\x0f" + KEY, ()),
    "variable": (b"\x29gps:1", (b"\x28",)),
}


@pytest.mark.parametrize(("command", "reads"), CHANGES.values(), ids=CHANGES)
def test_a_change_is_followed_and_checked(command: bytes, reads: tuple[bytes, ...]) -> None:
    """At once from the command, then from what the device makes of it."""
    mirror = full_mirror()
    assert decide(command, mirror, Rights(admin=True)) != Answer((b"\x00",))
    assert mirror.learn(command, b"\x00") == reads
    if command[0] not in (Cmd.RESET_PATH, Cmd.REMOVE_CONTACT, Cmd.SET_CUSTOM_VAR):
        # The same again would change nothing.
        assert decide(command, mirror, Rights()) == Answer((b"\x00",))


def test_a_refused_change_changes_nothing() -> None:
    """An error is no success."""
    mirror = full_mirror()
    before = mirror.export()
    for command, _ in CHANGES.values():
        assert mirror.learn(command, b"\x01\x06") == ()
    assert mirror.export() == before


def test_reset_path_keeps_the_time_of_change() -> None:
    """As a real device does; apps already know."""
    mirror = full_mirror()
    before = mirror.contacts.frames[KEY]
    mirror.learn(b"\x09" + KEY + b"\x01\x00\x02" + before[36:148], b"\x00")
    assert mirror.contacts.frames[KEY][35] == 2
    mirror.learn(b"\x0d" + KEY, b"\x00")
    assert mirror.contacts.frames[KEY] == before[:35] + b"\xff" + before[36:]


def test_clock() -> None:
    """The device's clock is known by its distance from ours."""
    mirror = Mirror()
    assert mirror.device_time(1000.5) == 1000
    mirror.note_time(900, 1000.0)
    assert mirror.device_time(1060.0) == 960


def test_snapshot_there_and_back() -> None:
    """Through JSON, with everything that clients are served from."""
    mirror = full_mirror()
    snapshot = json.loads(json.dumps(mirror.export()))
    restored = Mirror.load(snapshot)
    assert restored.export() == mirror.export()
    assert restored.info == mirror.info
    assert restored.contacts.is_complete
    assert restored.has_all_channels
    assert restored.kept[Resp.TUNING_PARAMS] == mirror.kept[Resp.TUNING_PARAMS]


def test_a_snapshot_holds_no_pin_and_no_private_key() -> None:
    """Neither is ever taken in."""
    mirror = full_mirror()
    info = mirror.device_info
    assert info is not None
    mirror.learn(READ_DEVICE, info[:4] + b"\x77\x66\x55\x44" + info[8:])
    mirror.learn(b"\x17", b"\x0e" + b"\xab" * 64)
    text = json.dumps(mirror.export())
    assert "77665544" not in text
    assert "abab" not in text


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("version", 99), ("self_info", "05"), ("self_info", "zz"), ("device_info", "0d00"),
        ("contacts", ["03"]), ("contacts", 5), ("channels", {"1": "12"}), ("channels", []),
        ("channels", {"1": "1202" + "00" * 48}), ("kept", ["0e" + "ab" * 64]), ("kept", [""]),
    ],
)  # fmt: skip
def test_a_damaged_snapshot_is_refused(key: str, value: Any) -> None:
    """Whatever is wrong with it, in one way."""
    snapshot = full_mirror().export()
    with pytest.raises(ValueError):
        Mirror.load({**snapshot, key: value})
    with pytest.raises(ValueError):
        Mirror.load({name: part for name, part in snapshot.items() if name != key})
