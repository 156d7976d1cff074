"""A pytest plugin that lets the test harness run on a Home Assistant newer than itself.

pytest-homeassistant-custom-component follows each Home Assistant release after some weeks. Until
then two things keep its last release from starting on the next Home Assistant. Both are mended
here: `-p` has pytest load this before the harness, in each process that runs tests.
"""

# Home Assistant puts httpx2 in the place of httpx, and refuses to when httpx has been imported
# before: the harness imports it (through respx) first.
import homeassistant  # noqa: F401
from homeassistant.components import logger
from homeassistant.core import HomeAssistant


def keep_log_levels(hass: HomeAssistant) -> None:
    """Stand in for a function that the harness asks for by its old place.

    What it undoes, log levels that the logger integration set, is of no matter to these tests.
    """


if not hasattr(logger, "_clear_logger_overwrites"):
    logger._clear_logger_overwrites = keep_log_levels  # noqa: SLF001
