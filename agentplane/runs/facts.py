"""The event types of a run's stream, and the payloads that `model` has no need for elsewhere. Pure.

| type | payload |
|---|---|
| run.created, run.refused, run.queued, run.waiting | RunCreated, RunRefused, RunQueued, RunWaiting |
| run.placed, run.started, run.evidence, run.finished | RunPlaced, RunStarted, RunEvidence, RunFinished |
| run.lease-expired, run.requeued | LeaseExpired, RunRequeued |
| run.superseded, run.quarantined | RunSuperseded, RunQuarantined |

The intents `run.requested` and `run.cancel-requested` stand on the same stream (agentplane.intents.runs).
"""

from typing import Final

from agentplane.runs.model import Wire

RUN_KIND: Final = "Run"

CREATED: Final = "run.created"
REFUSED: Final = "run.refused"
QUEUED: Final = "run.queued"
WAITING: Final = "run.waiting"
PLACED: Final = "run.placed"
STARTED: Final = "run.started"
FINISHED: Final = "run.finished"
EVIDENCE: Final = "run.evidence"
LEASE_EXPIRED: Final = "run.lease-expired"
REQUEUED: Final = "run.requeued"
SUPERSEDED: Final = "run.superseded"
QUARANTINED: Final = "run.quarantined"


class RunQueued(Wire, frozen=True, kw_only=True):
    """Fact `run.queued`: admitted, nothing in its way but an executor."""


class RunQuarantined(Wire, frozen=True, kw_only=True):
    """Fact `run.quarantined`: what its executor said of it does not verify, so nothing more is believed."""

    executor: str
    epoch: int
    code: str  # as in executor.evidence-rejected
    message: str
