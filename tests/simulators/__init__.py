"""Radios that exist in software only, for tests and for `scripts/develop`.

Nothing here imports the integration: a simulator and the integration are two independent
implementations of the same protocol, and a test compares them.

| file | what it is |
|---|---|
| `meshtastic_node.py` | `SimulatedNode`: start here. Also the command line (`python -m`) |
| `meshtastic_config.py` | `NodeConfig`: what a simulated node is like |
| `meshtastic_frames.py` | the envelope around each message |
| `meshtastic_state.py` | what a node keeps: identity, channels, configuration, node database |
| `meshtastic_dump.py` | the answer to `want_config_id` |
| `meshtastic_phone_api.py` | what a node does with one connection |
| `meshtastic_router.py` | where a packet goes: local modules, the air, acknowledgements |
| `meshtastic_admin.py` | administration, executed on the state |
| `meshtastic_mesh.py` | the other nodes of the mesh and what they answer |
| `meshtastic_link.py`, `meshtastic_pty.py` | TCP and serial carriers |
| `meshtastic_faults.py` | the damage a test can do |
| `meshtastic_injection.py` | what a test can make it hear or send |
| `meshtastic_demo.py` | a mesh that talks, moves and measures by itself |
| `meshtastic_queues.py` | the bounded queues between the node and its client |
| `meshtastic_client.py` | `RawClient`: a bare client, the other end of the wire |
| `recording.py` | recordings of real firmware, read and served as a node |
| `watched.py` | waiting for something to happen at a simulator |
"""
