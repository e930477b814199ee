"""Throughput: how much work gets done, how soon, and at what cost? Pure."""

from datetime import timedelta
from typing import Final

from agentplane.domains.work.facts.mail import MERGED
from agentplane.domains.work.facts.work_orders import Ending, Status
from agentplane.eval.model import Meaning, Section, Target, average, ratio
from agentplane.eval.observing import Observed, Seen
from agentplane.eval.outcomes import closed, outcomes

LLM_CALLS: Final = "llm_invocations"
PER_HOUR: Final = Meaning(
    name="work_orders_per_hour",
    title="Work orders completed per hour",
    formula="completed_work_orders / elapsed_hours",
    source="VerMAS EVALUATION.md",
    counted="completed pieces of work, by the hours from the first to the last fact of any family",
)
QUEUE_WAIT: Final = Meaning(
    name="queue_wait",
    title="From created to begun",
    formula="avg(queued → started)",
    source="VerMAS EVALUATION.md",
    counted="each work_order.created with the first time that it is in progress or an agent works on it",
    target=Target(words="< 10 min", below=600.0),
)
CYCLE: Final = Meaning(
    name="cycle_time",
    title="From created to closed",
    formula="avg(created → closed)",
    source="ours",
    counted="each work_order.created with the last time that it was closed",
)
TO_MERGE: Final = Meaning(
    name="time_to_merge",
    title="From created to merged",
    formula="avg(work_order_created → merged)",
    source="VerMAS EVALUATION.md",
    counted="each work_order.created with the first message of the type MERGED about it, or its first status merged",
)
IDLE: Final = Meaning(
    name="idle_share",
    title="Idle time of agents",
    formula="worker_idle_time / worker_total_time",
    source="VerMAS EVALUATION.md",
    counted="seconds from agent.idle, and from agent.working, to the same agent's next event of its life",
    target=Target(words="< 20%", below=0.2),
)
CALLS: Final = Meaning(
    name="llm_calls_per_work_order",
    title="Model calls per work order",
    formula="llm_invocations / completed_work_orders",
    source="VerMAS EVALUATION.md",
    counted=f"the greatest {LLM_CALLS!r} of each actor's metrics.snapshot, by completed pieces of work",
    target=Target(words="< 50", below=50.0),
)
_LIFE: Final = ("agent.started", "agent.working", "agent.idle", "agent.stopped", "agent.failure", "agent.offline")


def throughput(observed: Observed) -> Section:
    """The section `throughput`."""
    completed = sum(ending is Ending.COMPLETED for ending in outcomes(observed).values())
    idle_s, working_s = _times_s(observed)
    calls = _calls(observed)
    return Section(
        name="throughput",
        title="Throughput",
        metrics=(
            ratio(PER_HOUR, completed, _elapsed_hours(observed), unit="per hour"),
            average(QUEUE_WAIT, _spans(observed, _begun(observed))),
            average(CYCLE, _spans(observed, closed(observed))),
            average(TO_MERGE, _spans(observed, _merged(observed))),
            ratio(IDLE, idle_s, idle_s + working_s),
            # nobody counted calls: that is unknown, and not 0
            ratio(CALLS, sum(calls.values()), completed if calls else 0, unit="per item"),
        ),
    )


def _elapsed_hours(observed: Observed) -> float:
    first, last = observed.first_at, observed.last_at
    return 0.0 if first is None or last is None else (last - first) / timedelta(hours=1)


def _spans(observed: Observed, ends: dict[str, Seen]) -> list[timedelta]:
    created: dict[str, Seen] = {}
    for seen in observed.of("work_order.created"):
        created.setdefault(seen.said.work_order_id, seen)
    return [ends[name].at - seen.at for name, seen in sorted(created.items()) if name in ends]


def _begun(observed: Observed) -> dict[str, Seen]:
    found: dict[str, Seen] = {}
    for seen in observed.of("work_order.status_changed", "agent.working"):
        if seen.type == "agent.working" or seen.said.to_status == Status.IN_PROGRESS:
            found.setdefault(seen.said.work_order_id or "", seen)
    return found


def _merged(observed: Observed) -> dict[str, Seen]:
    found: dict[str, Seen] = {}
    for seen in observed.of("mail.sent", "work_order.status_changed"):
        if seen.said.work_order_id and _says_merged(seen):
            found.setdefault(seen.said.work_order_id, seen)
    return found


def _says_merged(seen: Seen) -> bool:
    word = seen.said.message_type if seen.type == "mail.sent" else seen.said.to_status.upper()
    return bool(word == MERGED)


def _times_s(observed: Observed) -> tuple[float, float]:
    last: dict[str, Seen] = {}
    idle = working = timedelta()
    for seen in observed.of(*_LIFE):
        before = last.get(seen.agent)
        if before is not None and before.type == "agent.idle":
            idle += seen.at - before.at
        elif before is not None and before.type == "agent.working":
            working += seen.at - before.at
        last[seen.agent] = seen
    return idle.total_seconds(), working.total_seconds()


def _calls(observed: Observed) -> dict[str, int]:
    found: dict[str, int] = {}
    for seen in observed.of("metrics.snapshot"):
        number = seen.said.counters.get(LLM_CALLS)
        if isinstance(number, int):
            found[seen.actor] = max(found.get(seen.actor, 0), number)
    return found
