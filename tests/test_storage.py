"""What a source knows is written down soon, and read again; a damaged file harms nothing."""

from datetime import timedelta
from typing import Any

from freezegun.api import FrozenDateTimeFactory
from homeassistant.core import HomeAssistant
import pytest
from pytest_homeassistant_custom_component.common import async_fire_time_changed

from custom_components.meshmonitor.storage import SAVE_DELAY, SnapshotStore

KEY = "meshmonitor.abc"


def stored(data: Any, **changes: Any) -> dict[str, Any]:
    """Return a file's content."""
    return {"version": 1, "minor_version": 1, "key": KEY, "data": data, **changes}


async def test_nothing_kept(hass: HomeAssistant, hass_storage: dict[str, Any]) -> None:
    """The first start finds nothing, and says nothing."""
    assert await SnapshotStore(hass, "abc").async_load() is None


async def test_kept(hass: HomeAssistant, hass_storage: dict[str, Any]) -> None:
    """What was saved is there again, until it is removed."""
    await SnapshotStore(hass, "abc").async_save({"a": 1})
    assert hass_storage[KEY]["data"] == {"a": 1}
    store = SnapshotStore(hass, "abc")
    assert await store.async_load() == {"a": 1}
    await store.async_remove()
    assert KEY not in hass_storage


@pytest.mark.parametrize(
    "content",
    [
        stored(["not", "a", "mapping"]),
        stored({"a": 1}, version=99),
        stored({"a": 1}, version=0),
        {"data": {}},
    ],
    ids=["list", "newer", "older", "no version"],
)
async def test_damaged(
    hass: HomeAssistant,
    hass_storage: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
    content: dict[str, Any],
) -> None:
    """A file that makes no sense is as good as none, which is said once."""
    hass_storage[KEY] = content
    assert await SnapshotStore(hass, "abc").async_load() is None
    assert caplog.text.count("starting empty") == 1


async def test_busy_mesh(
    hass: HomeAssistant, hass_storage: dict[str, Any], freezer: FrozenDateTimeFactory
) -> None:
    """Changes that never cease do not put the writing off for ever; it happens once for all."""
    store = SnapshotStore(hass, "abc")
    taken: list[int] = []
    for _ in range(3):
        store.async_delay_save(lambda: taken.append(1))
        freezer.tick(timedelta(seconds=SAVE_DELAY / 2))
        async_fire_time_changed(hass)
        await hass.async_block_till_done()
    assert taken == [1]
    # What changes while it is written is written next.
    await store.async_save({"changes": 1})
    freezer.tick(timedelta(seconds=SAVE_DELAY))
    async_fire_time_changed(hass)
    await hass.async_block_till_done()
    assert taken == [1, 1]
    assert hass_storage[KEY]["data"] == {"changes": 1}


async def test_stopped(
    hass: HomeAssistant, hass_storage: dict[str, Any], freezer: FrozenDateTimeFactory
) -> None:
    """Nothing is saved after the end by itself."""
    store = SnapshotStore(hass, "abc")
    taken: list[int] = []
    store.async_delay_save(lambda: taken.append(1))
    store.stop()
    store.stop()
    freezer.tick(timedelta(seconds=SAVE_DELAY))
    async_fire_time_changed(hass)
    await hass.async_block_till_done()
    assert taken == []
