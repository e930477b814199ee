"""The control daemon: intents, reports and heartbeats in, decisions in the log, wake-ups out.

All judgement is in agentplane.controllers; here is only what carries it: the log, the bus, the clock. Any number of
control daemons may run side by side; the log's expected versions decide who was first.

| module | its one concern |
|---|---|
| runtime | the state as of now, and appending upon it |
| intake | messages in, acknowledged only when what follows from them is stored |
| vigil | heartbeats, who is alive, leases that run out |
| scheduler | runs that wait for an executor |
| resources | wishes about resources, and the controllers of every domain |
| app | putting them together, starting and draining |
"""
