"""Verification: does it pass what is good, catch what is not, and how do its judges differ? Pure.

What is really true of a work order is what a person said: its newest `verify.labelled`. Without labels the rates that
need them are null.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import timedelta
from typing import Final, NamedTuple

from agentplane.domains.work.facts.mail import READY_FOR_QA
from agentplane.domains.work.facts.verification import Verdict
from agentplane.eval.model import Meaning, Section, Target, average, ratio
from agentplane.eval.observing import Observed, Seen

PASS_RATE: Final = Meaning(
    name="pass_rate",
    title="Verdicts that are PASS",
    formula="PASS / verdicts",
    source="VerMAS EVENTS.md",
    counted="verify.verdict, NEEDS_HUMAN among them",
)
NEEDS_HUMAN: Final = Meaning(
    name="needs_human_rate",
    title="Verdicts that leave it to a person",
    formula="NEEDS_HUMAN / verdicts",
    source="ours, after VerMAS' implementation",
    counted="verify.verdict",
)
TPR: Final = Meaning(
    name="true_positive_rate",
    title="Defects that were caught",
    formula="issues_caught / actual_issues",
    source="VerMAS EVALUATION.md",
    counted="work orders labelled defective with a verdict, and those of them that ever got FAIL",
    target=Target(words="> 80%", above=0.8),
)
FNR: Final = Meaning(
    name="false_negative_rate",
    title="Defects that were missed",
    formula="missed_issues / actual_issues",
    source="VerMAS EVALUATION.md",
    counted="work orders labelled defective with a verdict, and those of them that never got FAIL",
    target=Target(words="< 20%", below=0.2),
)
FDR: Final = Meaning(
    name="false_discovery_rate",
    title="Failures that were false",
    formula="false_failures / total_failures",
    source="VerMAS EVALUATION.md, which calls it false positive rate",
    counted="labelled work orders that ever got FAIL, and those of them labelled not defective",
    target=Target(words="< 10%", below=0.1),
)
FPR: Final = Meaning(
    name="false_positive_rate",
    title="Good work that was failed",
    formula="false_failures / actually_good",
    source="ours: the usual definition",
    counted="work orders labelled not defective with a verdict, and those of them that ever got FAIL",
)
FLIPS: Final = Meaning(
    name="flip_rate",
    title="Judge against auditor",
    formula="judge ≠ auditor / reviews with both",
    source="VerMAS EVALUATION.md",
    counted="verdicts after an audit; of several audits one FAIL makes FAIL, else one NEEDS_HUMAN makes NEEDS_HUMAN",
    target=Target(words="5% to 20%", at_least=0.05, at_most=0.2),
)
REASONED: Final = Meaning(
    name="reasoned_rate",
    title="Verdicts with a reasoning",
    formula="verdicts_with_reasoning / verdicts",
    source="VerMAS EVALUATION.md",
    counted="verify.verdict",
    target=Target(words="100%", at_least=1.0),
)
TIME_STARTED: Final = Meaning(
    name="verification_time_started",
    title="From the start to the verdict",
    formula="avg(verify.started → verdict)",
    source="ours",
    counted="each verdict with the first verify.started since the verdict before",
    target=Target(words="< 5 min", below=300.0),
)
TIME_READY: Final = Meaning(
    name="verification_time_ready",
    title="From READY_FOR_QA to the verdict",
    formula="avg(READY_FOR_QA → verdict)",
    source="VerMAS EVALUATION.md",
    counted="each verdict with the first message READY_FOR_QA about the work order since the verdict before",
    target=Target(words="< 5 min", below=300.0),
)


class Review(NamedTuple):
    """One verdict, and what led to it since the verdict before on the same work order."""

    verdict: Seen
    audit: Verdict | None
    started: Seen | None
    ready: Seen | None


def verification(observed: Observed) -> Section:
    """The section `verification`."""
    reviews = _reviews(observed)
    verdicts = [review.verdict.said for review in reviews]
    both = [review for review in reviews if review.audit is not None]
    flips = sum(review.audit is not review.verdict.said.verdict for review in both)
    labels = {seen.said.work_order_id: seen.said.defective for seen in observed.of("verify.labelled")}
    judged = {said.work_order_id for said in verdicts} & labels.keys()
    failed = {said.work_order_id for said in verdicts if said.verdict is Verdict.FAIL} & judged
    bad = {name for name in judged if labels[name]}
    good = judged - bad
    return Section(
        name="verification",
        title="Verification",
        metrics=(
            ratio(PASS_RATE, sum(said.verdict is Verdict.PASS for said in verdicts), len(verdicts)),
            ratio(NEEDS_HUMAN, sum(said.verdict is Verdict.NEEDS_HUMAN for said in verdicts), len(verdicts)),
            ratio(TPR, len(failed & bad), len(bad)),
            ratio(FNR, len(bad - failed), len(bad)),
            ratio(FDR, len(failed & good), len(failed)),
            ratio(FPR, len(failed & good), len(good)),
            ratio(FLIPS, flips, len(both)),
            ratio(REASONED, sum(bool(said.reasoning.strip()) for said in verdicts), len(verdicts)),
            average(TIME_STARTED, _since(reviews, "started")),
            average(TIME_READY, _since(reviews, "ready")),
        ),
    )


def _since(reviews: Iterable[Review], what: str) -> list[timedelta]:
    begun = ((getattr(review, what), review.verdict) for review in reviews)
    return [verdict.at - start.at for start, verdict in begun if start is not None]


def _reviews(observed: Observed) -> list[Review]:
    open_: defaultdict[str, list[Seen]] = defaultdict(list)
    found = []
    for seen in observed.of("verify.started", "verify.audited", "verify.verdict", "mail.sent"):
        name = seen.said.work_order_id
        if seen.type == "verify.verdict":
            found.append(_review(seen, open_.pop(name, [])))
        elif name and (seen.type != "mail.sent" or seen.said.message_type == READY_FOR_QA):
            open_[name].append(seen)
    return found


def _review(verdict: Seen, before: list[Seen]) -> Review:
    def first(type_: str) -> Seen | None:
        return next((seen for seen in before if seen.type == type_), None)

    audits = {seen.said.criterion: seen.said.verdict for seen in before if seen.type == "verify.audited"}
    said = set(audits.values())
    worst = next((each for each in (Verdict.FAIL, Verdict.NEEDS_HUMAN, Verdict.PASS) if each in said), None)
    return Review(verdict, worst, first("verify.started"), first("mail.sent"))
