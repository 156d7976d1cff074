"""The page that tells programs what the virtual nodes are doing."""

from http import HTTPStatus
from typing import Final

from aiohttp import web
from homeassistant.helpers.http import KEY_HASS, HomeAssistantView

from .status import virtual_node_status

STATUS_URL: Final = "/api/meshmonitor/virtual_node/status"


class VirtualNodeStatusView(HomeAssistantView):
    """Answers with the state of every virtual node, to those who are logged in."""

    url = STATUS_URL
    name = "api:meshmonitor:virtual_node:status"
    requires_auth = True

    async def get(self, request: web.Request) -> web.Response:
        """Return the state of every virtual node."""
        return self.json(virtual_node_status(request.app[KEY_HASS]), HTTPStatus.OK)
