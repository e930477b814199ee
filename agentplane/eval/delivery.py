"""Delivery: do messages reach whom they are for, and does anybody read them? Pure."""

from typing import Final

from agentplane.eval.model import Meaning, Section, Target, count, ratio
from agentplane.eval.observing import Observed

DELIVERY: Final = Meaning(
    name="delivery_rate",
    title="Delivered of sent",
    formula="delivered / sent",
    source="VerMAS EVALUATION.md",
    counted="distinct messages that were sent, and those of them that were delivered",
    target=Target(words="> 99%", above=0.99),
)
PROCESSING: Final = Meaning(
    name="processing_rate",
    title="Processed of delivered",
    formula="processed / delivered",
    source="VerMAS EVALUATION.md",
    counted="distinct messages that were delivered, and those of them that were read or archived",
    target=Target(words="> 99%", above=0.99),
)
LOST: Final = Meaning(
    name="lost_messages",
    title="Sent and not delivered",
    formula="sent - delivered",
    source="VerMAS EVALUATION.md",
    counted="distinct messages",
    target=Target(words="0", at_most=0.0),
)


def delivery(observed: Observed) -> Section:
    """The section `delivery`."""
    sent, delivered = (_messages(observed, name) for name in ("mail.sent", "mail.delivered"))
    processed = _messages(observed, "mail.read", "mail.archived")
    return Section(
        name="delivery",
        title="Delivery",
        metrics=(
            ratio(DELIVERY, len(sent & delivered), len(sent)),
            ratio(PROCESSING, len(processed & delivered), len(delivered)),
            count(LOST, len(sent - delivered)),
        ),
    )


def _messages(observed: Observed, *types: str) -> set[str]:
    return {seen.said.message_id for seen in observed.of(*types)}
