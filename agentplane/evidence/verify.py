"""Offline verification of an export: numbered steps, each with what it saw. Pure; needs nothing but bytes and keys.

( 1) layout      regular files only; evidence.jsonl, bundle.json, manifest.json are there
( 2) envelopes   every line is one DSSE envelope in canonical form
( 3) signatures  by keys that the verifier trusts, or that control's signed key history names
( 4) statements  in-toto Statement v1 with our predicate, in canonical form
( 5) authority   control signs decisions, executors sign reports, each into its own journal
( 6) schemas     every artifact is valid against the schema that its predicate type names
( 7) bundle      bundle.json is what every statement is about
( 8) run         one tenant, run and epoch throughout
( 9) chain       every statement follows the one before it
(10) placement   valid, and run by the executor that was chosen
(11) pins        pins.json is what the decision was about, and what the reports say ran
(12) seal        lists exactly these statements
(13) documents   <kebab-kind>.json are the signed documents
(14) artifacts   the files are the sealed ones, byte for byte, none more
(15) outcome     all documents tell the same end
(16) times       in order, none in the future
(17) keys        keys/ holds the trusted keys
(18) manifest    describes exactly this export
(19) key-times   every executor's statement was committed while its key counted, as the key history says

Steps 1 to 6 establish what the records are: after a failure among them the rest is not checked. The other steps do
not depend on each other and are all reported.
"""

from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from agentplane.errors import AgentplaneError
from agentplane.evidence.export import Export, Summary, summarise
from agentplane.evidence.keys import TrustedKeys
from agentplane.evidence.steps import attempt, ending, files, pinned, records, validity
from agentplane.evidence.steps.case import Case

STEPS: Final[tuple[tuple[str, Callable[[Case], str]], ...]] = (
    ("layout", records.layout),
    ("envelopes", records.envelopes),
    ("signatures", records.signatures),
    ("statements", records.statements),
    ("authority", records.authority),
    ("schemas", records.artifact_schemas),
    ("bundle", attempt.bundle),
    ("run", attempt.one_run),
    ("chain", attempt.chain),
    ("placement", ending.placement),
    ("pins", pinned.pins),
    ("seal", attempt.seal),
    ("documents", files.documents),
    ("artifacts", files.artifacts),
    ("outcome", ending.outcome),
    ("times", attempt.times),
    ("keys", files.keys),
    ("manifest", files.manifest),
    ("key-times", validity.key_times),
)
_FOUNDATION: Final = 6


class Status(StrEnum):
    """How a step came out."""

    PASS = "pass"  # noqa: S105 - not a password
    FAIL = "fail"
    SKIP = "skip"  # an earlier step failed that this one needs


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a report."""

    number: int
    name: str
    status: Status
    code: str | None  # the error's code; None unless it failed
    detail: str

    @property
    def ok(self) -> bool:
        """Whether it was checked and is right."""
        return self.status is Status.PASS


class VerifyReport(msgspec.Struct, frozen=True, kw_only=True):
    """What verification found. `about` is None when not even the records could be read."""

    verified: bool
    about: Summary | None
    steps: tuple[Step, ...]

    @property
    def verdict(self) -> str:
        """One word and, where it is no, the first reason."""
        if self.verified:
            return "verified"
        first = next(step for step in self.steps if step.status is Status.FAIL)
        return f"NOT verified: step {first.number} ({first.name}): {first.detail}"


def verify_export(
    export: Export, trusted: TrustedKeys, now: datetime, *, need_key_history: bool = False
) -> VerifyReport:
    """Run all steps. Never raises for what is in the export: whatever is wrong is in the report.

    `need_key_history`: an export without one fails; else that is a remark.
    """
    case = Case(export, trusted, now, need_key_history=need_key_history)
    steps: list[Step] = []
    founded = True
    for number, (name, step) in enumerate(STEPS, start=1):
        done = _run(number, name, step, case) if founded else _skipped(number, name)
        steps.append(done)
        if number <= _FOUNDATION and not done.ok:
            founded = False
    return VerifyReport(
        verified=all(step.ok for step in steps),
        about=summarise(case.records) if founded and case.records else None,
        steps=tuple(steps),
    )


def _run(number: int, name: str, step: Callable[[Case], str], case: Case) -> Step:
    try:
        detail = step(case)
    except AgentplaneError as error:
        return Step(number=number, name=name, status=Status.FAIL, code=error.code, detail=str(error))
    return Step(number=number, name=name, status=Status.PASS, code=None, detail=detail)


def _skipped(number: int, name: str) -> Step:
    return Step(number=number, name=name, status=Status.SKIP, code=None, detail="not checked: see the failure above")
