"""What the speed claims are measured with: `python -m bench` (see README.md).

| file | what it is |
|---|---|
| `__main__.py` | the command: runs the scenarios, prints a table, writes JSON |
| `plan.py` | how much is measured: the whole run, and the short one |
| `figures.py` | medians, percentiles, rows and the table |
| `worker.py` | processes that are told what to do over their standard input |
| `bed.py` | one radio process, one process for our server, one for the bare one |
| `radio.py` | worker: simulated radios, and traffic from them at a given pace |
| `server.py` | worker: our virtual node, or the bare reference, in front of a radio |
| `bare.py` | the bare reference: writes ready-made bytes, relays frames, nothing else |
| `dialects.py` | how to ask each kind of radio for everything, and where its answer ends |
| `packets.py` | ready-made traffic, with the time of sending in it |
| `load.py` | the clients: they only note what came when |
| `replay.py`, `latency.py`, `burst.py`, `memory.py`, `stuck.py`, `inside.py` | one scenario each |
| `home_assistant.py` | worker: the integration in a Home Assistant, with its event loop watched |
| `namespace.py` | a network of its own, whose loopback has an Ethernet's MTU |
"""
