"""How an administration command that the radio has taken changes what is mirrored of it.

Followed is what the firmware does (``src/modules/AdminModule.cpp``). Where it may have corrected
what it was told, or does what cannot be seen from here, the radio is to be read again.
"""

from typing import Final

from . import admin, nodes, packets, wire
from .mirror_state import (
    NO_CHANGE,
    SECURITY_CONFIG,
    MirrorChange,
    MirrorState,
    member,
    number_field,
    slot_key,
)
from .nodes import NodeRecord

_SET_OWNER: Final = 32
_SET_CHANNEL: Final = 33
_REMOVE_NODE: Final = 38
_SET_FAVORITE: Final = 39
_REMOVE_FAVORITE: Final = 40
_SET_FIXED_POSITION: Final = 41
_REMOVE_FIXED_POSITION: Final = 42
_SET_IGNORED: Final = 47
_REMOVE_IGNORED: Final = 48
_TOGGLE_MUTED: Final = 49
_NODEDB_RESET: Final = 100

_WITHOUT_TRACE: Final = frozenset(
    {
        21,  # enter_dfu_mode_request
        22,  # delete_file_request
        23,  # set_scale
        24,  # backup_preferences
        26,  # remove_backup_preferences
        27,  # send_input_event
        36,  # set_canned_message_module_messages
        37,  # set_ringtone_message
        admin.SET_TIME_ONLY,
        64,  # begin_edit_settings
        65,  # commit_edit_settings
        67,  # key_verification
        97,  # reboot_seconds
        98,  # shutdown_seconds
        103,  # sensor_config
    }
)
"""What leaves nothing behind that a mirror holds."""

# What each answer of the radio holds, by its tag, as the variant of `FromRadio` that holds the same
_ANSWERS: Final = {
    2: packets.CHANNEL,
    admin.GET_CONFIG_RESPONSE: packets.CONFIG,
    admin.GET_MODULE_CONFIG_RESPONSE: packets.MODULE_CONFIG,
    13: packets.METADATA,
    admin.GET_UI_CONFIG_RESPONSE: packets.UI_CONFIG,
}
_OWNER_ANSWER: Final = 4

# User
_IS_LICENSED: Final = 6
_IS_UNMESSAGABLE: Final = 9
# Channel
_INDEX: Final = 1
_SETTINGS: Final = 2
_ROLE: Final = 3
_PRIMARY: Final = 1
_SECONDARY: Final = 2
# Config
_POSITION_CONFIG: Final = 2
_LORA_CONFIG: Final = 6
_DEVICE_ROLE: Final = 1
_FIXED_POSITION: Final = 3
_REGION: Final = 7
# ModuleConfigs that the firmware looks at before it takes them: mqtt, serial
_VALIDATED: Final = frozenset({1, 2})
# SharedContact
_CONTACT_NUM: Final = 1
_CONTACT_USER: Final = 2
_CONTACT_SHOULD_IGNORE: Final = 3
_CONTACT_VERIFIED: Final = 4
# The role with which a contact does not become a favourite
_CLIENT_BASE: Final = 12
# Roles whose favourites survive a reset of the node database: router, router_late, client_base
_KEEPS_FAVORITES: Final = frozenset({2, 11, _CLIENT_BASE})

_REREAD: Final = MirrorChange(needs_reread=True)
_CONFIG_CHANGED: Final = MirrorChange(config=True)


def apply(state: MirrorState, payload: bytes) -> MirrorChange:
    """Follow a command that was sent to the radio and that it did not refuse.

    Args:
        state: What is mirrored.
        payload: The ``AdminMessage`` as it was sent.
    """
    command = admin.parse(payload)
    row = admin.VARIANTS.get(command.tag)
    if row is None or command.violations:
        return _REREAD
    if row.admin_class in (admin.AdminClass.READ, admin.AdminClass.RESPONSE):
        return NO_CHANGE
    if command.tag in _WITHOUT_TRACE:
        return NO_CHANGE
    try:
        return _apply(state, command)
    except wire.WireError:
        return _REREAD


def take_answer(state: MirrorState, payload: bytes) -> MirrorChange:
    """Learn from what the radio answered about itself.

    Args:
        state: What is mirrored.
        payload: The ``AdminMessage`` that it sent to its own number.
    """
    answer = admin.parse(payload)
    if answer.tag == _OWNER_ANSWER:
        changed = state.own.take_user(answer.body, None)
        return _node_changed(state, state.own) if changed else NO_CHANGE
    variant = _ANSWERS.get(answer.tag)
    key = slot_key(variant, answer.body) if variant else None
    try:
        if key is None or not state.set_message(key, answer.body):
            return NO_CHANGE
    except wire.WireError:
        return NO_CHANGE
    is_channel = variant == packets.CHANNEL
    return MirrorChange(channels=is_channel, config=not is_channel)


def _apply(state: MirrorState, command: admin.AdminCommand) -> MirrorChange:
    tag, body = command.tag, command.body
    if tag == _SET_OWNER:
        return _set_owner(state, body)
    if tag == _SET_CHANNEL:
        return _set_channel(state, body)
    if tag == admin.SET_CONFIG:
        return _set_config(state, body)
    if tag == admin.SET_MODULE_CONFIG:
        return _set_module_config(state, body)
    if tag == admin.STORE_UI_CONFIG:
        return _CONFIG_CHANGED if state.set_message((packets.UI_CONFIG, 0), body) else NO_CHANGE
    if tag == _NODEDB_RESET:
        return _reset_nodes(state, keep_favorites=bool(command.number))
    if tag in (_SET_FIXED_POSITION, _REMOVE_FIXED_POSITION):
        return _fix_position(state, body if tag == _SET_FIXED_POSITION else None)
    if tag == admin.ADD_CONTACT:
        return _add_contact(state, body)
    return _change_node(state, tag, command.number)


def _unless_same(state: MirrorState, key: tuple[int, int] | None) -> MirrorChange:
    """Tell a setting that was set to what it was from one that the mirror has no place for."""
    return NO_CHANGE if key is not None and state.payload(*key) is not None else _REREAD


def _node_changed(state: MirrorState, record: NodeRecord) -> MirrorChange:
    state.touch(record)
    return MirrorChange(nodes=frozenset({record.num}))


def _set_owner(state: MirrorState, body: bytes) -> MirrorChange:
    own = state.own
    user = own.message(nodes.USER) or b""
    fields = wire.scan(body)
    changes: dict[int, bytes] = {}
    for number in (nodes.LONG_NAME, nodes.SHORT_NAME):
        name = wire.value_bytes(body, wire.last(fields, number))
        if name.isspace():
            # The firmware takes nothing of a user without a readable name.
            return NO_CHANGE
        if name:
            changes[number] = wire.bytes_field(number, nodes.printable(name))
    licensed = bool(number_field(body, _IS_LICENSED))
    changes[_IS_LICENSED] = wire.varint_field(_IS_LICENSED, 1) if licensed else b""
    messagable = wire.last(fields, _IS_UNMESSAGABLE)
    if messagable is not None:
        changes[_IS_UNMESSAGABLE] = body[messagable.start : messagable.end]
    # A licence takes the keys off the channels.
    needs_reread = licensed is not bool(number_field(user, _IS_LICENSED))
    if not own.set_message(nodes.USER, nodes.splice(user, changes)):
        return NO_CHANGE
    state.touch(own)
    return MirrorChange(nodes=frozenset({own.num}), needs_reread=needs_reread)


def _set_channel(state: MirrorState, body: bytes) -> MirrorChange:
    fields = wire.scan(body)
    if wire.last(fields, _SETTINGS) is None:
        # The firmware keeps such a slot as a disabled, empty one.
        body = nodes.splice(body, {_SETTINGS: wire.bytes_field(_SETTINGS, b""), _ROLE: b""})
    index = number_field(body, _INDEX)
    key = (packets.CHANNEL, index)
    if state.payload(*key) is None:
        return NO_CHANGE
    changed = state.set_message(key, body)
    if number_field(body, _ROLE) == _PRIMARY:
        demoted = wire.varint_field(_ROLE, _SECONDARY)
        for other in state.channel_indices:
            channel = state.message(packets.CHANNEL, other)
            if other != index and channel and number_field(channel, _ROLE) == _PRIMARY:
                channel = nodes.splice(channel, {_ROLE: demoted})
                changed |= state.set_message((packets.CHANNEL, other), channel)
    return MirrorChange(channels=changed)


def _set_config(state: MirrorState, body: bytes) -> MirrorChange:
    tag, value = member(body)
    before = state.inner(packets.CONFIG, tag)
    if before is None:
        return _REREAD
    if not state.set_message((packets.CONFIG, tag), body):
        return NO_CHANGE
    # These make the firmware change other things as well: keys, intervals, the MQTT topic.
    needs_reread = (
        tag == SECURITY_CONFIG
        or (tag == _LORA_CONFIG and _differs(before, value, _REGION))
        or (tag == admin.DEVICE_CONFIG and _differs(before, value, _DEVICE_ROLE))
    )
    return MirrorChange(config=True, channels=tag == _LORA_CONFIG, needs_reread=needs_reread)


def _set_module_config(state: MirrorState, body: bytes) -> MirrorChange:
    key = slot_key(packets.MODULE_CONFIG, body)
    if key is None or not state.set_message(key, body):
        return _unless_same(state, key)
    return MirrorChange(config=True, needs_reread=key[1] in _VALIDATED)


def _differs(before: bytes, after: bytes, number: int) -> bool:
    return number_field(before, number) != number_field(after, number)


def _role(state: MirrorState) -> int:
    return number_field(state.inner(packets.CONFIG, admin.DEVICE_CONFIG), _DEVICE_ROLE)


def _reset_nodes(state: MirrorState, *, keep_favorites: bool) -> MirrorChange:
    keep = keep_favorites or _role(state) in _KEEPS_FAVORITES
    gone = {
        num
        for num, record in state.nodes.items()
        if record is not state.own and not (keep and record.number(nodes.IS_FAVORITE))
    }
    for num in gone:
        state.remove_node(num)
    return MirrorChange(removed_nodes=frozenset(gone), needs_reread=True)


def _fix_position(state: MirrorState, position: bytes | None) -> MirrorChange:
    """Follow a position that was set by hand, or that one was withdrawn."""
    own = state.own
    if position is not None:
        own.take_position(position)
    else:
        own.set_message(nodes.POSITION, b"")
        own.readings.pop((packets.POSITION, 0), None)
    state.touch(own)
    config = state.inner(packets.CONFIG, _POSITION_CONFIG)
    changed = False
    if config is not None:
        flag = wire.varint_field(_FIXED_POSITION, 1) if position is not None else b""
        config = nodes.splice(config, {_FIXED_POSITION: flag})
        message = wire.bytes_field(_POSITION_CONFIG, config)
        changed = state.set_message((packets.CONFIG, _POSITION_CONFIG), message)
    return MirrorChange(nodes=frozenset({own.num}), config=changed)


def _add_contact(state: MirrorState, body: bytes) -> MirrorChange:
    num = number_field(body, _CONTACT_NUM)
    user = wire.value_bytes(body, wire.last(wire.scan(body), _CONTACT_USER))
    if num in packets.NOT_A_NODE or num == state.my_node_num or not user:
        return NO_CHANGE
    record = state.nodes.get(num)
    is_new = record is None
    if record is None:
        record = NodeRecord.create(num)
        if not state.add_node(record):
            return NO_CHANGE
    changed_user = record.take_user(user, record.number(nodes.CHANNEL))
    if number_field(body, _CONTACT_SHOULD_IGNORE):
        changed_flags = _ignore(state, record) | record.set_flag(nodes.IS_FAVORITE, value=False)
    else:
        # So that the radio does not forget it when it needs room.
        is_favorite = bool(record.number(nodes.IS_FAVORITE)) or _role(state) != _CLIENT_BASE
        changed_flags = record.set_flag(nodes.IS_FAVORITE, value=is_favorite)
        if number_field(body, _CONTACT_VERIFIED):
            changed_flags |= record.set_flag(nodes.IS_KEY_VERIFIED, value=True)
    if not (is_new or changed_user or changed_flags):
        return NO_CHANGE
    state.touch(record)
    changed = frozenset({num})
    return MirrorChange(nodes=changed, new_nodes=changed if is_new else frozenset())


def _change_node(state: MirrorState, tag: int, num: int) -> MirrorChange:
    """Follow a command whose value is a node's number."""
    if tag == _REMOVE_NODE:
        gone = state.remove_node(num)
        return MirrorChange(removed_nodes=frozenset({num})) if gone else NO_CHANGE
    record = state.nodes.get(num)
    is_new = False
    # Firmware 2.8, which stores readings apart, ignores also whom it does not know.
    creates = tag == _SET_IGNORED and state.stores_readings
    if record is None and creates and num not in packets.NOT_A_NODE:
        record = NodeRecord.create(num)
        is_new = state.add_node(record)
        if not is_new:
            return NO_CHANGE
    if tag in (_SET_FAVORITE, _REMOVE_FAVORITE):
        field, value = nodes.IS_FAVORITE, tag == _SET_FAVORITE
    elif tag in (_SET_IGNORED, _REMOVE_IGNORED):
        field, value = nodes.IS_IGNORED, tag == _SET_IGNORED
    elif tag == _TOGGLE_MUTED:
        field, value = nodes.IS_MUTED, record is not None and not record.number(nodes.IS_MUTED)
    else:
        return _REREAD
    if record is None:
        return NO_CHANGE
    changed = _ignore(state, record) if tag == _SET_IGNORED else record.set_flag(field, value=value)
    if not changed:
        return NO_CHANGE
    state.touch(record)
    touched = frozenset({num})
    return MirrorChange(nodes=touched, new_nodes=touched if is_new else frozenset())


def _ignore(state: MirrorState, record: NodeRecord) -> bool:
    """Let a node be ignored: the radio forgets where it was and what it measured."""
    changed = record.set_flag(nodes.IS_IGNORED, value=True)
    record.readings.clear()
    changed |= record.set_message(nodes.POSITION, None)
    changed |= record.set_message(nodes.DEVICE_METRICS, None)
    user = record.message(nodes.USER)
    if user is not None and not state.stores_readings:
        # Firmware before 2.8 forgets its key as well.
        changed |= record.set_message(nodes.USER, nodes.splice(user, {nodes.PUBLIC_KEY: b""}))
    return changed
