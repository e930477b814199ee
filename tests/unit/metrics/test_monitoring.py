"""What docs/monitoring asks for is what the daemons say, and promtool agrees with the rest."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from agentplane.metrics.counters import REGISTRY

ROOT = Path(__file__).resolve().parents[3]
MONITORING = ROOT / "docs" / "monitoring"
SOURCES = (
    *("services/control/gauges.py", "services/projector/gauges.py", "services/executor/daemon.py"),
    "agentplane/daemon/certificates.py",
)
NAME = re.compile(r"\bagentplane_[a-z_]+")


def said() -> set[str]:
    """Names of all gauges and counters, read from where they are made."""
    gauges = {
        f"agentplane_{name}" for path in SOURCES for name in re.findall(r'\bGauge\("(\w+)"', (ROOT / path).read_text())
    }
    counters = {f"{family.name}_total" for family in REGISTRY.collect()}
    up = {"agentplane_database_up"}
    return gauges | counters | up


def alert_expressions() -> list[str]:
    groups = yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"]
    return [rule["expr"] for group in groups for rule in group["rules"]]


def dashboard_expressions() -> list[str]:
    panels = json.loads((MONITORING / "dashboard.json").read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


@pytest.mark.parametrize("expression", [*alert_expressions(), *dashboard_expressions()])
def test_every_number_that_is_asked_for_exists(expression: str) -> None:
    assert set(NAME.findall(expression)) <= said()


def test_the_dashboard_shows_every_counter() -> None:
    shown = {name for expression in dashboard_expressions() for name in NAME.findall(expression)}
    assert {f"{family.name}_total" for family in REGISTRY.collect()} <= shown


def test_what_an_alert_sees_increase_is_there_before_it_happens() -> None:
    """In a process of its own: another test may have counted here."""
    program = "from agentplane.metrics.counters import REGISTRY; import prometheus_client as p; "
    program += "print(p.generate_latest(REGISTRY).decode())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    for expression in alert_expressions():
        for series in re.findall(r"(?:increase|rate)\((agentplane_\w+\{[^}]+\})\[", expression):
            assert f"{series} 0.0" in done.stdout, series
    assert "0.0" in done.stdout


def test_the_dashboard_is_one_that_grafana_imports() -> None:
    """The parts of Grafana's dashboard model that an import needs, and panels that cover each other nowhere."""
    dashboard = json.loads((MONITORING / "dashboard.json").read_text())
    assert dashboard["schemaVersion"] >= 36
    (variable,) = dashboard["templating"]["list"]
    assert (variable["name"], variable["type"], variable["query"]) == ("datasource", "datasource", "prometheus")
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == len(panels)
    covered: set[tuple[int, int]] = set()
    for panel in panels:
        assert panel["type"] in {"stat", "timeseries"}
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"]) > 0
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert max(x for x, _ in cells) < 24
        assert not covered & cells, panel["title"]
        covered |= cells


def test_every_alert_says_what_to_do() -> None:
    groups = yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"]
    for rule in groups[0]["rules"]:
        assert set(rule["annotations"]) == {"summary", "action"}, rule["alert"]


@pytest.mark.parametrize("arguments", [("check", "rules", "alerts.yml"), ("test", "rules", "alerts.test.yml")])
def test_promtool_agrees(arguments: tuple[str, ...]) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is NOT installed, the alert rules are unchecked: apt-get install prometheus")
    done = subprocess.run(["promtool", *arguments], cwd=MONITORING, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SUCCESS" in done.stdout
