"""The whole Meshtastic side over real sockets: a radio in software, the source, several phones."""
