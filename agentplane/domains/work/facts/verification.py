"""Facts of the family `verify`. Source: VerMAS EVENTS.md and VERIFICATION.md; `labelled` is ours: a person's word."""

from enum import StrEnum
from typing import Annotated, Final

from msgspec import Meta

from agentplane.domains.work.facts.base import Count, Fact, Line, Text, WorkOrderId


class Verdict(StrEnum):
    """What a verification, or an audit of one criterion, comes to."""

    PASS = "PASS"  # noqa: S105 - a verdict
    FAIL = "FAIL"
    NEEDS_HUMAN = "NEEDS_HUMAN"


_WORDS: Final = {each.value: each for each in Verdict} | {"PASSED": Verdict.PASS, "FAILED": Verdict.FAIL}
Criterion = Annotated[str, Meta(min_length=1, max_length=200, description="Of acceptance: `AC-1`")]


class Started(Fact, frozen=True, kw_only=True):
    """A verification began."""

    work_order_id: WorkOrderId
    process_id: Line | None = None


class SpecCreated(Fact, frozen=True, kw_only=True):
    """What must be true was written down."""

    work_order_id: WorkOrderId
    summary: Text = ""
    criteria: Count | None = None


class TestsGenerated(Fact, frozen=True, kw_only=True):
    """Tests of the criteria were written."""

    work_order_id: WorkOrderId
    test_count: Count | None = None


class TestExecuted(Fact, frozen=True, kw_only=True):
    """One test ran."""

    work_order_id: WorkOrderId
    criterion: Criterion | None = None
    passed: bool


class Audited(Fact, frozen=True, kw_only=True):
    """An auditor judged the evidence, of one criterion or of all."""

    work_order_id: WorkOrderId
    criterion: Criterion | None = None
    assessment: Annotated[str, Meta(max_length=2000, description="PASS, FAIL, NEEDS_HUMAN, or other words")]

    @property
    def verdict(self) -> Verdict | None:
        """The assessment as a verdict; None: it is none."""
        word = self.assessment.strip().upper().replace("-", "_").replace(" ", "_")
        return _WORDS.get(word)


class VerdictGiven(Fact, frozen=True, kw_only=True):
    """The judge decided."""

    work_order_id: WorkOrderId
    verdict: Verdict
    criteria_passed: Count | None = None
    criteria_failed: Count | None = None
    reasoning: Text = ""


class Labelled(Fact, frozen=True, kw_only=True):
    """A person said what is true of the work: what verdicts are measured by."""

    work_order_id: WorkOrderId
    defective: Annotated[bool, Meta(description="Whether there was really something wrong with it")]
    note: Text = ""
