"""The table: one line per goal, with its peer from the same run."""

from dataclasses import dataclass


class Unmeasured(Exception):
    """What was to be timed did not even work; the words say why."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One measured goal. `met` is None where there is no goal, only a number to know."""

    name: str
    ours: str
    peer: str
    ratio: str
    goal: str
    met: bool | None


def at_most(name: str, ours: float, limit: float, unit: str) -> Line:
    """A number that has to stay below a limit."""
    shown = f"{ours:,.0f} {unit}"
    return Line(
        name=name, ours=shown, peer="-", ratio=f"{ours / limit:.2f}", goal=f"<= {limit:,.0f} {unit}", met=ours <= limit
    )


def table(lines: list[Line]) -> str:
    """The lines as aligned text, so that it can be pasted into a document."""
    verdicts = {True: "met", False: "NOT MET", None: "-"}
    rows: list[tuple[str, ...]] = [("name", "ours", "peer", "ratio", "goal", "met")]
    rows += [(line.name, line.ours, line.peer, line.ratio, line.goal, verdicts[line.met]) for line in lines]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rows.insert(1, tuple("-" * width for width in widths))
    return "\n".join("| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in rows)


def at_least(name: str, ours: float, peer: float, whose: str, goal: float | None, *, what: str = "events") -> Line:
    """Two rates per second, of which ours has to be a multiple of the peer's; None: only to know."""
    return Line(
        name=name,
        ours=f"{ours:,.0f} {what}/s",
        peer=f"{peer:,.0f}/s {whose}",
        ratio=f"{ours / peer:.1f}x" if ours >= 2 * peer else f"{ours / peer:.2f}x",
        goal="-" if goal is None else f">= {goal:g}x",
        met=None if goal is None else ours >= goal * peer,
    )
