"""Completion: does work get done, and at the first attempt? Pure."""

from typing import Final

from agentplane.domains.work.facts.mail import REWORK_REQUEST
from agentplane.domains.work.facts.verification import Verdict
from agentplane.domains.work.facts.work_orders import Ending
from agentplane.eval.model import Meaning, Section, Target, ratio
from agentplane.eval.observing import Observed
from agentplane.eval.outcomes import closed, outcomes

_MOST: Final = Target(words="> 90%", above=0.9)
OF_CREATED: Final = Meaning(
    name="completion_rate_created",
    title="Closed of created",
    formula="closed / created",
    source="VerMAS EVENTS.md",
    counted="distinct work orders with a closing fact, by distinct work orders with work_order.created",
    target=_MOST,
)
OF_ENDED: Final = Meaning(
    name="completion_rate_ended",
    title="Completed of ended",
    formula="completed / (completed + failed + abandoned)",
    source="VerMAS EVALUATION.md",
    counted="pieces of work (work orders, and processes without one) by how they ended",
    target=_MOST,
)
FIRST_PASS: Final = Meaning(
    name="first_pass_rate",
    title="Completed at the first attempt",
    formula="completed_first_try / completed",
    source="VerMAS EVALUATION.md",
    counted="completed pieces of work without a FAIL verdict and without a REWORK_REQUEST about them",
    target=Target(words="> 70%", above=0.7),
)
REWORK: Final = Meaning(
    name="rework_rate",
    title="Rework requests per completed",
    formula="rework_requests / completed",
    source="VerMAS EVALUATION.md",
    counted="distinct messages of the type REWORK_REQUEST, by completed pieces of work",
    target=Target(words="< 30%", below=0.3),
)


def completion(observed: Observed) -> Section:
    """The section `completion`."""
    created = {seen.said.work_order_id for seen in observed.of("work_order.created")}
    ended = outcomes(observed)
    completed = {name for name, ending in ended.items() if ending is Ending.COMPLETED}
    requests = {
        seen.said.message_id: seen.said.work_order_id
        for seen in observed.of("mail.sent")
        if seen.said.message_type == REWORK_REQUEST
    }
    failed = {seen.said.work_order_id for seen in observed.of("verify.verdict") if seen.said.verdict is Verdict.FAIL}
    first = completed - failed - {name for name in requests.values() if name}
    return Section(
        name="completion",
        title="Completion",
        metrics=(
            ratio(OF_CREATED, len(closed(observed)), len(created)),
            ratio(OF_ENDED, len(completed), len(ended)),
            ratio(FIRST_PASS, len(first), len(completed)),
            ratio(REWORK, len(requests), len(completed)),
        ),
    )
