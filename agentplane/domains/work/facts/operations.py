"""Facts of the families `patrol` and `metrics`. Source: VerMAS EVENTS.md and EVALUATION.md."""

from typing import Annotated

import msgspec
from msgspec import Meta

from agentplane.domains.work.facts.base import Count, Fact

Counters = Annotated[dict[str, int | str], Meta(max_length=200, description="Totals since its source began")]


class PatrolCompleted(Fact, frozen=True, kw_only=True):
    """A supervisor looked after its workers."""

    workers_checked: Count = 0
    idle_found: Count = 0
    nudges_sent: Count = 0
    kills_executed: Count = 0


class Snapshot(Fact, frozen=True, kw_only=True):
    """Running totals of whoever says so, such as `llm_invocations`."""

    counters: Counters = msgspec.field(default_factory=dict)
