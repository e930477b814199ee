"""Asking control for what it signs about a run. The answer is worth its signature, which whoever asks checks."""

import asyncio
from typing import Final

import msgspec

from agentplane.bus import subjects
from agentplane.errors import Transient
from agentplane.ports import Bus
from agentplane.queries.asking import answer, asked
from agentplane.runs.model import Wire

EXECUTOR_KEYS: Final = "executor-keys"
_TIMEOUT_S: Final = 10.0
_ABSENT_S: Final = 5.0  # a control that restarts is back by then
_LOOK_S: Final = 0.1


class ExecutorKeysGet(Wire, frozen=True, kw_only=True):
    """Which keys of its executors counted when. `run`: its full name. Answered by a DSSE envelope."""

    run: str


async def executor_keys(
    bus: Bus, tenant: str, run: str, *, timeout_s: float = _TIMEOUT_S, absent_s: float = _ABSENT_S
) -> bytes:
    """The envelope of a run's key history, not verified yet. `absent_s`: how long control may be restarting.

    Raises:
        AgentplaneError: what control raised. Denied: code `bus.denied`: the bus's configuration is an older one.
        Transient: nobody answered.
    """
    subject = subjects.attest(tenant, EXECUTOR_KEYS)
    question = asked(ExecutorKeysGet(run=run))
    deadline = asyncio.get_running_loop().time() + absent_s
    while True:
        try:
            data = await bus.request(subject, question, timeout_s=timeout_s)
        except Transient as exc:
            if exc.code != "bus.no-responder" or asyncio.get_running_loop().time() >= deadline:
                raise
            await asyncio.sleep(_LOOK_S)
        else:
            return bytes(answer(data, msgspec.Raw, where=subject))
