"""Recovery: do agents come back after a failure, how soon, and by themselves? Pure."""

from collections import defaultdict
from datetime import timedelta
from typing import Final, NamedTuple

from agentplane.eval.model import Meaning, Section, Target, average, ratio
from agentplane.eval.observing import Observed, Seen

AUTOMATIC: Final = Meaning(
    name="auto_recovery_rate",
    title="Recovered by itself",
    formula="auto_recovered / failures",
    source="VerMAS EVALUATION.md",
    counted="failures of agents (failure, offline, or stopped uncleanly; until the next start they are one), and those "
    "that were followed by a start which no person made",
    target=Target(words="> 95%", above=0.95),
)
MTTR_STOPPED: Final = Meaning(
    name="mttr_stopped",
    title="From stopped to started",
    formula="avg(stopped → started)",
    source="VerMAS EVALUATION.md, event queries",
    counted="each agent.stopped, clean or not, with the agent's next agent.started",
    target=Target(words="< 5 min", below=300.0),
)
MTTR_FAILED: Final = Meaning(
    name="mttr_failed",
    title="From failure to recovery",
    formula="avg(failure → recovered)",
    source="VerMAS EVALUATION.md, reliability",
    counted="each failure that was followed by a start",
    target=Target(words="< 5 min", below=300.0),
)
MANUAL: Final = Meaning(
    name="manual_restart_rate",
    title="Restarts by people",
    formula="human_restarts / total_restarts",
    source="VerMAS EVALUATION.md",
    counted="starts of agents that had stopped or failed; a person's are those whose actor begins with user: or human",
    target=Target(words="< 5%", below=0.05),
)
_TYPES: Final = ("agent.started", "agent.stopped", "agent.failure", "agent.offline")
_UNCLEAN: Final = ("kill", "crash", "fail", "error", "oom", "timeout", "lost")
_PEOPLE: Final = ("user:", "human")


class _Told(NamedTuple):
    """The story of all agents: spans, and counts."""

    stopped: list[timedelta]
    failed: list[timedelta]
    failures: int
    automatic: int
    restarts: int
    manual: int


def recovery(observed: Observed) -> Section:
    """The section `recovery`."""
    told = _tell(observed)
    return Section(
        name="recovery",
        title="Recovery",
        metrics=(
            ratio(AUTOMATIC, told.automatic, told.failures),
            average(MTTR_STOPPED, told.stopped),
            average(MTTR_FAILED, told.failed),
            ratio(MANUAL, told.manual, told.restarts),
        ),
    )


def _tell(observed: Observed) -> _Told:
    by_agent: defaultdict[str, list[Seen]] = defaultdict(list)
    for seen in observed.of(*_TYPES):
        by_agent[seen.agent].append(seen)
    stories = [_story(events) for _, events in sorted(by_agent.items())]
    return _Told(
        stopped=[span for each in stories for span in each.stopped],
        failed=[span for each in stories for span in each.failed],
        failures=sum(each.failures for each in stories),
        automatic=sum(each.automatic for each in stories),
        restarts=sum(each.restarts for each in stories),
        manual=sum(each.manual for each in stories),
    )


def _story(events: list[Seen]) -> _Told:
    stopped: Seen | None = None
    failed: Seen | None = None
    told = _Told([], [], 0, 0, 0, 0)
    for seen in events:
        if seen.type != "agent.started":
            stopped = seen if seen.type == "agent.stopped" else stopped
            if failed is None and _is_failure(seen):
                failed = seen
                told = told._replace(failures=told.failures + 1)
            continue
        if stopped is not None:
            told.stopped.append(seen.at - stopped.at)
        if failed is not None:
            told.failed.append(seen.at - failed.at)
        if stopped is not None or failed is not None:
            by_person = seen.actor.startswith(_PEOPLE)
            told = told._replace(
                restarts=told.restarts + 1,
                manual=told.manual + by_person,
                automatic=told.automatic + (failed is not None and not by_person),
            )
        stopped = failed = None
    return told


def _is_failure(seen: Seen) -> bool:
    if seen.type != "agent.stopped":
        return True
    return seen.said.exit_code not in {None, 0} or seen.said.reason.lower().startswith(_UNCLEAN)
