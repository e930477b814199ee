"""All sections: as data, and as Markdown for people. Pure."""

from collections.abc import Callable
from typing import Final

import msgspec

from agentplane.clock import rfc3339
from agentplane.eval.completion import completion
from agentplane.eval.compliance import compliance
from agentplane.eval.delivery import delivery
from agentplane.eval.model import Metric, Section, Standing
from agentplane.eval.observing import Observed
from agentplane.eval.recovery import recovery
from agentplane.eval.throughput import throughput
from agentplane.eval.verification import verification

SECTIONS: Final[dict[str, Callable[[Observed], Section]]] = {
    "completion": completion,
    "compliance": compliance,
    "throughput": throughput,
    "delivery": delivery,
    "recovery": recovery,
    "verification": verification,
}
_MARKS: Final = {Standing.MET: "met", Standing.MISSED: "**missed**", Standing.UNKNOWN: "unknown", Standing.NONE: "-"}


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What was looked at, and what came out. `facts`: of the families; times are those of the events."""

    tenant: str
    selection: dict[str, str]  # --since, --until, --actor as they were given
    facts: int
    unreadable: int
    first_sequence: int | None
    last_sequence: int | None
    first_at: str | None
    last_at: str | None
    sections: tuple[Section, ...]


def evaluate(
    observed: Observed, *, tenant: str, selection: dict[str, str] | None = None, sections: tuple[str, ...] = ()
) -> Report:
    """The named sections, or all."""
    sequences = [seen.sequence for seen in observed.facts]
    first, last = observed.first_at, observed.last_at
    return Report(
        tenant=tenant,
        selection=selection or {},
        facts=len(sequences),
        unreadable=observed.unreadable,
        first_sequence=min(sequences, default=None),
        last_sequence=max(sequences, default=None),
        first_at=rfc3339(first) if first else None,
        last_at=rfc3339(last) if last else None,
        sections=tuple(make(observed) for name, make in SECTIONS.items() if name in (sections or SECTIONS)),
    )


def markdown(report: Report) -> str:
    """The report for people. The same report gives the same text."""
    chosen = ", ".join(f"{name} {value}" for name, value in report.selection.items()) or "everything"
    lines = [
        f"# How work went: {report.tenant}",
        "",
        f"{report.facts} facts, {report.unreadable} unreadable; {chosen}; {_times(report)}.",
    ]
    for section in report.sections:
        lines += ["", f"## {section.title}", "", "| metric | value | of | target | |", "|---|---|---|---|---|"]
        lines += [_row(metric) for metric in section.metrics]
    lines += ["", "## What the figures mean", ""]
    for section in report.sections:
        lines += [
            f"- `{each.name}` = {each.formula}. {each.counted}. Source: {each.source}." for each in section.metrics
        ]
    return "\n".join(lines) + "\n"


def _times(report: Report) -> str:
    return f"from {report.first_at} to {report.last_at}" if report.first_at else "at no time"


def _row(metric: Metric) -> str:
    out = f" ({metric.left_out} left out)" if metric.left_out else ""
    words = (
        metric.title,
        value_words(metric),
        terms_words(metric) + out,
        metric.target or "-",
        _MARKS[metric.standing],
    )
    return f"| {' | '.join(words)} |"


def value_words(metric: Metric) -> str:
    """A value for people; `unknown` where there is none."""
    if metric.value is None:
        return "unknown"
    match metric.unit:
        case "ratio":
            return f"{metric.value:.1%}"
        case "seconds":
            return f"{metric.value:.1f} s"
        case "count":
            return f"{metric.value:.0f}"
        case _:
            return f"{metric.value:.2f} {metric.unit}"


def terms_words(metric: Metric) -> str:
    """What was divided by what."""
    if metric.denominator is None:
        return "-"
    return f"{metric.numerator:g} / {metric.denominator:g}"
