"""Verification: a true story passes all steps; what cannot be read leaves the rest unchecked."""

import pytest

from agentplane.evidence.export import Export, select_attempt
from agentplane.evidence.journal import Head
from agentplane.evidence.record import About
from agentplane.evidence.statement import Link, RunRef
from agentplane.evidence.verify import STEPS, verify_export
from agentplane.ids import Digest
from tests.unit.evidence.checking import DIVERGED, GUEST, KEYS, TIMED_OUT, check, failed_steps, without
from tests.unit.evidence.conftest import signer_for
from tests.unit.evidence.story import EXPECTED, NOW, Story, as_export, contents_of, forge


@pytest.mark.parametrize(
    "story",
    [
        Story(),
        Story(valid=False),
        Story(finished=DIVERGED),
        Story(finished=TIMED_OUT),
        Story(expected=EXPECTED),
        Story(expected=EXPECTED, finished=DIVERGED),
        Story(expected=EXPECTED, guest=GUEST, replay_guest=GUEST),
        Story(executor_head=Head(journal="executor/exec-1", index=41, digest=Digest("sha256:" + "12" * 32))),
    ],
    ids=[
        "success",
        "refused",
        "failure",
        "timeout",
        "replay",
        "diverged replay",
        "the same guest",
        "a journal of many runs",
    ],
)
def test_a_true_story_passes_every_step(story: Story) -> None:
    report = check(story.contents())
    assert [(step.name, step.status.value, step.detail) for step in report.steps if not step.ok] == []
    assert report.verified
    assert [step.number for step in report.steps] == list(range(1, len(STEPS) + 1))


def test_the_report_says_what_it_is_about() -> None:
    about = check(Story().contents()).about
    assert about is not None
    assert (about.tenant, about.run, about.epoch, about.bundle) == ("acme", "hello-0001", 1, "hello@1.0.0")


def test_a_run_that_was_placed_again_passes() -> None:
    """The decision of epoch 2 is record 3 of control's journal, after one of which this export knows nothing."""

    def later(kind: str, link: Link) -> Link:
        unseen = "sha256:" + "77" * 32
        if kind == "PlacementDecision":
            return Link(journal=link.journal, index=3, previous=unseen, run_previous=unseen)
        return link

    story = Story(run=RunRef(tenant="acme", name="hello-0001", epoch=2), relink=later)
    story.edits = {kind: lambda artifact: {**artifact, "epoch": 2} for kind in ("RunStarted", "RunFinished")}
    assert check(story.contents()).verified


def test_evidence_of_other_attempts_is_left_out_of_an_export() -> None:
    records = Story().records()
    stray = forge(
        {"kind": "RunArtifact"},
        About(run=RunRef(tenant="acme", name="hello-0001", epoch=1), bundle="b@1", bundle_digest="sha256:" + "00" * 32),
        records[-1].statement.predicate.chain,
        signer_for("executor/exec-1"),
    )
    assert select_attempt([*records, stray]) == tuple(records)


def test_a_failure_in_the_foundation_leaves_the_rest_unchecked() -> None:
    report = check(without(Story().contents(), "evidence.jsonl"))
    assert {step.status.value for step in report.steps[1:]} == {"skip"}
    assert report.about is None
    assert "step 1 (layout)" in report.verdict


def test_strange_entries_are_refused() -> None:
    export = as_export(Story().contents())
    fields = {name: getattr(export, name) for name in export.__struct_fields__}
    report = verify_export(Export(**{**fields, "strange": ("'artifacts/link'",)}), KEYS, NOW)
    assert failed_steps(report) == ["layout"]


def test_contents_of_is_what_the_product_writes() -> None:
    story = Story()
    assert contents_of(story.records(), story.guest_files, story.keys(), story.pinned).keys() == {
        "evidence.jsonl",
        "bundle.json",
        "pins.json",
        "manifest.json",
        "keys/control.pub",
        "keys/executors/exec-1.pub",
        *(
            f"artifacts/{name}"
            for name in (
                "report.json",
                "logs/smoke.txt",
                "validation-artifact.json",
                "placement-decision.json",
                "placement-receipt.json",
                "run-artifact.json",
                "replay-artifact.json",
                "run-seal.json",
            )
        ),
    }
