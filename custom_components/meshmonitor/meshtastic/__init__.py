"""All that knows Meshtastic bytes: protobuf messages in 0x94 0xC3 frames."""
