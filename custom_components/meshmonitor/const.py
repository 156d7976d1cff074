"""Names that more than one room of the integration needs."""

from typing import Final

DOMAIN: Final = "meshmonitor"

CONF_PROTOCOL: Final = "protocol"
CONF_CONNECTION: Final = "connection"
CONNECTION_TCP: Final = "tcp"
CONNECTION_SERIAL: Final = "serial"

CONF_VIRTUAL_NODE: Final = "virtual_node"
CONF_ENABLED: Final = "enabled"
CONF_BIND_ADDRESS: Final = "bind_address"
CONF_ALLOW_ADMIN: Final = "allow_admin_commands"
CONF_ALLOW_DESTRUCTIVE: Final = "allow_destructive_commands"
CONF_ALLOWED_NETWORKS: Final = "allowed_networks"
CONF_ADMIN_NETWORKS: Final = "admin_networks"
CONF_KEEP_MISSED: Final = "keep_missed_messages"
CONF_MAX_CLIENTS: Final = "max_clients"

CONF_NOTIFY_CONTACTS: Final = "notify_contacts"
"""The ids of the nodes that have a notify entity."""

CONF_NODES: Final = "nodes"
CONF_MODE: Final = "mode"
CONF_PICKED: Final = "picked"
CONF_EXPIRE_DAYS: Final = "expire_days"
