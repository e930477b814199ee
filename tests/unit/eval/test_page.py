"""docs/eval.md says of every figure what the code says."""

from pathlib import Path

from agentplane.eval.observing import Observed
from agentplane.eval.report import evaluate

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "eval.md").read_text(encoding="utf-8")


def test_every_figure_stands_on_the_page_as_the_code_has_it() -> None:
    for section in evaluate(Observed([]), tenant="acme").sections:
        assert f"### `agentplane eval {section.name}`" in PAGE
        for each in section.metrics:
            words = (f"`{each.name}`", each.formula, each.counted, each.target or "-", each.source)
            assert f"| {' | '.join(words)} |" in PAGE, each.name
