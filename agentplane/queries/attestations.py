"""Asking control for what it signs about a run. The answer is worth its signature, which whoever asks checks."""

from typing import Final

import msgspec

from agentplane.bus import subjects
from agentplane.ports import Bus
from agentplane.queries.asking import answer, asked
from agentplane.runs.model import Wire

EXECUTOR_KEYS: Final = "executor-keys"
_TIMEOUT_S: Final = 10.0


class ExecutorKeysGet(Wire, frozen=True, kw_only=True):
    """Which keys of its executors counted when. `run`: its full name. Answered by a DSSE envelope."""

    run: str


async def executor_keys(bus: Bus, tenant: str, run: str, *, timeout_s: float = _TIMEOUT_S) -> bytes:
    """The envelope of a run's key history, not verified yet.

    Raises:
        AgentplaneError: what control raised. Denied: code `bus.denied`: the bus's configuration is an older one.
        Transient: nobody answered.
    """
    subject = subjects.attest(tenant, EXECUTOR_KEYS)
    data = await bus.request(subject, asked(ExecutorKeysGet(run=run)), timeout_s=timeout_s)
    return bytes(answer(data, msgspec.Raw, where=subject))
