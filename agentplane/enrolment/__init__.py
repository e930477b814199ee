"""Executors that join, rest, leave: what they ask, what is remembered of them, which of their keys counts when.

In: requests of executors and wishes of operators. Out: facts on the executor's own stream, and what they add up to.
Decisions are agentplane.controllers'; files and connections are the daemons'. Nothing here opens anything.
"""
