"""What is counted as it happens, by the whole process. Labels have few values, all of them ours.

Counting is a few additions in memory, whether somebody scrapes or not.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Final

from prometheus_client import CollectorRegistry, Counter

from agentplane.errors import AgentplaneError, Broken, NotFound, Transient

# not the library's global registry: nobody else's numbers get in here
REGISTRY: Final = CollectorRegistry()

INTENTS: Final = Counter(
    "agentplane_intents", "Wishes of people, by what became of the message.", ["result"], registry=REGISTRY
)
REPORTS: Final = Counter(
    "agentplane_reports", "Reports of executors, by what became of the message.", ["result"], registry=REGISTRY
)
DECISIONS: Final = Counter(
    "agentplane_decisions",
    "Decisions of controllers: stored, nothing to do, or taken again because another was faster.",
    ["result"],
    registry=REGISTRY,
)
APPENDS: Final = Counter(
    "agentplane_appended_events", "Events that this process stored, by type.", ["type"], registry=REGISTRY
)
ABANDONED: Final = Counter(
    "agentplane_controllers_abandoned",
    "Calls of a domain's controller that took too long; a thread each, until it comes back.",
    ["controller"],
    registry=REGISTRY,
)
PLACEMENTS: Final = Counter(
    "agentplane_placements", "Looks at a run that waits: placed, or left waiting.", ["result"], registry=REGISTRY
)
HEARTBEATS: Final = Counter(
    "agentplane_heartbeats",
    "Heartbeats: answered by control, or sent by the executor; accepted, refused or failed.",
    ["result"],
    registry=REGISTRY,
)
GUESTS: Final = Counter("agentplane_guests", "Executions that ended here, by outcome.", ["outcome"], registry=REGISTRY)
GUEST_SECONDS: Final = Counter(
    "agentplane_guest_seconds", "Seconds from launch to end of the executions that ended here.", registry=REGISTRY
)

CACHE_PULLS: Final = Counter(
    "agentplane_cache_pulls",
    "Guests and sources asked of binary caches: fetched, absent, refused (not to be believed) or failed.",
    ["result"],
    registry=REGISTRY,
)
CACHE_BYTES: Final = Counter(
    "agentplane_cache_pulled_bytes", "Bytes of store paths that came from binary caches.", registry=REGISTRY
)

_PLACED: Final = "run.placed"
_WAITING: Final = "run.waiting"

# What an alert watches is there from the start, at 0: Prometheus sees no increase in a series that begins at 1.
for _family in (INTENTS, REPORTS):
    _family.labels("defect")
APPENDS.labels("run.quarantined")
for _result in ("fetched", "absent", "refused", "failed"):
    CACHE_PULLS.labels(_result)


def count_appended(types: tuple[str, ...]) -> None:
    """Count events that were stored by their types."""
    for type_ in types:
        APPENDS.labels(type_).inc()
        if type_ in {_PLACED, _WAITING}:
            PLACEMENTS.labels(type_.removeprefix("run.")).inc()


def count_message(subject: str, result: str) -> None:
    """Count a message by its subject's kind: an executor's report, or somebody's intent."""
    (REPORTS if subject.startswith("agentplane-executor.") else INTENTS).labels(result).inc()


@contextmanager
def counted_pull() -> Iterator[Callable[[int], None]]:
    """Count what a cache was asked for by how the block ends; tell it the bytes that came."""
    try:
        yield CACHE_BYTES.inc
    except AgentplaneError as exc:
        result = (
            "absent" if isinstance(exc, NotFound) else "failed" if isinstance(exc, Transient | Broken) else "refused"
        )
        CACHE_PULLS.labels(result).inc()
        raise
    CACHE_PULLS.labels("fetched").inc()


def count_guest(outcome: str, launched_at: str, ended_at: str) -> None:
    """Count an execution that ended. Times are RFC 3339; a pair that is none counts no seconds."""
    GUESTS.labels(outcome).inc()
    try:
        lasted = datetime.fromisoformat(ended_at) - datetime.fromisoformat(launched_at)
    except ValueError:
        return
    GUEST_SECONDS.inc(max(0.0, lasted.total_seconds()))
