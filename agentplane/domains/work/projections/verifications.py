"""Verifications of work orders: how far each is, and its newest verdict, PASS, FAIL or NEEDS_HUMAN. Pure.

A work order may be verified again after rework: the newest verdict is the verdict, `history` keeps the last ones. Of
each criterion the newest test and the newest audit count.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from agentplane.domains.work.facts import verification as v
from agentplane.domains.work.facts.verification import Verdict
from agentplane.domains.work.projections.folding import field, projection
from agentplane.domains.work.projections.stamps import Stamped, later, set_newest, stamp_of
from agentplane.events.model import StoredEvent
from agentplane.runs.model import Wire

KIND: Final = "VerificationStatus"
HISTORY: Final = 20
_ALL: Final = "*"  # a test or an audit of the whole


class Stage(StrEnum):
    """How far a verification is."""

    STARTED = "started"
    SPECIFIED = "specified"
    TESTS_READY = "tests_ready"
    TESTING = "testing"
    AUDITED = "audited"
    DECIDED = "decided"


_RANK: Final = {each: number for number, each in enumerate(Stage)}


class Said(Wire, frozen=True, kw_only=True):
    """The newest word about a criterion."""

    value: str
    stamp: str


class Judged(Wire, frozen=True, kw_only=True):
    """One verdict."""

    stamp: str
    at: datetime
    verdict: Verdict
    judge: str
    criteria_passed: int | None
    criteria_failed: int | None
    reasoning: str


class VerificationStatus(Stamped, frozen=True, kw_only=True):
    """All verifications of one work order. `verdict` None: nobody decided yet, or not since the last start."""

    stage: Stage = Stage.STARTED
    verdict: Verdict | None = None
    criteria_passed: int | None = None
    criteria_failed: int | None = None
    reasoning: str = ""
    process_id: str | None = None
    defective: bool | None = None  # what a person said; None: nothing
    tests: dict[str, Said] = msgspec.field(default_factory=dict)
    audits: dict[str, Said] = msgspec.field(default_factory=dict)
    history: tuple[Judged, ...] = ()  # the last ones, oldest first
    started_at: datetime | None = None  # last
    decided_at: datetime | None = None  # last


def _at(view: VerificationStatus, stored: StoredEvent, stage: Stage, **values: object) -> VerificationStatus:
    return set_newest(view, stored, _RANK[stage], stage=stage, **values)


def _started(view: VerificationStatus, stored: StoredEvent, said: v.Started) -> VerificationStatus:
    anew = {"verdict": None, "criteria_passed": None, "criteria_failed": None, "reasoning": ""}
    known = _at(view, stored, Stage.STARTED, process_id=said.process_id, **anew)
    return replace(known, started_at=later(view.started_at, stored.event.time))


def _spec_created(view: VerificationStatus, stored: StoredEvent, _: v.SpecCreated) -> VerificationStatus:
    return _at(view, stored, Stage.SPECIFIED)


def _tests_generated(view: VerificationStatus, stored: StoredEvent, _: v.TestsGenerated) -> VerificationStatus:
    return _at(view, stored, Stage.TESTS_READY)


def _test_executed(view: VerificationStatus, stored: StoredEvent, said: v.TestExecuted) -> VerificationStatus:
    tests = _newest(view.tests, said.criterion or _ALL, "passed" if said.passed else "failed", stored)
    return replace(_at(view, stored, Stage.TESTING), tests=tests)


def _audited(view: VerificationStatus, stored: StoredEvent, said: v.Audited) -> VerificationStatus:
    audits = _newest(view.audits, said.criterion or _ALL, said.verdict or said.assessment, stored)
    return replace(_at(view, stored, Stage.AUDITED), audits=audits)


def _verdict(view: VerificationStatus, stored: StoredEvent, said: v.VerdictGiven) -> VerificationStatus:
    judged = Judged(
        stamp=stamp_of(stored),
        at=stored.event.time,
        verdict=said.verdict,
        judge=stored.event.actor,
        criteria_passed=said.criteria_passed,
        criteria_failed=said.criteria_failed,
        reasoning=said.reasoning,
    )
    history = sorted({each.stamp: each for each in (*view.history, judged)}.values(), key=lambda each: each.stamp)
    known = _at(
        view,
        stored,
        Stage.DECIDED,
        verdict=said.verdict,
        criteria_passed=said.criteria_passed,
        criteria_failed=said.criteria_failed,
        reasoning=said.reasoning,
    )
    decided = later(view.decided_at, stored.event.time)
    return replace(known, history=tuple(history[-HISTORY:]), decided_at=decided)


def _labelled(view: VerificationStatus, stored: StoredEvent, said: v.Labelled) -> VerificationStatus:
    return set_newest(view, stored, defective=said.defective)


def _newest(known: dict[str, Said], criterion: str, value: str, stored: StoredEvent) -> dict[str, Said]:
    said = Said(value=value, stamp=stamp_of(stored))
    if criterion in known and known[criterion].stamp > said.stamp:
        return known
    return {**known, criterion: said}


def present(row: dict[str, Any], _: object) -> dict[str, Any]:
    """A verification with its tests and audits in plain words."""
    tests = {name: said["value"] for name, said in sorted(row["tests"].items())}
    audits = {name: said["value"] for name, said in sorted(row["audits"].items())}
    passed = sum(value == "passed" for value in tests.values())
    history = [{name: value for name, value in each.items() if name != "stamp"} for each in row["history"]]
    words = f"{passed}/{len(tests)}" if tests else None
    return {**row, "tests": tests, "audits": audits, "history": history, "testsPassed": words}


VERIFICATIONS: Final = projection(
    "work_verifications",
    1,
    VerificationStatus,
    KIND,
    field("work_order_id"),
    {
        "verify.started": _started,
        "verify.spec_created": _spec_created,
        "verify.tests_generated": _tests_generated,
        "verify.test_executed": _test_executed,
        "verify.audited": _audited,
        "verify.verdict": _verdict,
        "verify.labelled": _labelled,
    },
)
