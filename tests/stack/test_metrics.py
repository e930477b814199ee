"""Every daemon of a running stack tells Prometheus what it did."""

import os
import re
import urllib.request
from pathlib import Path
from urllib.error import URLError

import pytest
from prometheus_client.parser import text_string_to_metric_families

from agentplane.stack.ports import load_ports
from tests.stack.plane import ROOT, Plane, awaited
from tests.stack.workloads import make_bundle

pytestmark = pytest.mark.stack

MAX_RSS_MIB = 120
MONITORING = ROOT / "docs" / "monitoring"


def exposition(plane: Plane, daemon: str) -> str:
    """What a daemon tells Prometheus."""
    ports = load_ports(plane.layout.ports)
    assert ports is not None
    address = f"http://127.0.0.1:{ports[f'{daemon}-metrics']}/metrics"

    def ask() -> str | None:
        try:
            with urllib.request.urlopen(address, timeout=10) as answer:
                text: str = answer.read().decode()
                return text
        except URLError:
            return None  # another test has just killed it

    return awaited(ask, f"the metrics of {daemon}")


def offered(plane: Plane, daemon: str) -> set[str]:
    """Names under which it has numbers, or will have some once there is something to count."""
    families = text_string_to_metric_families(exposition(plane, daemon))
    return {f"{each.name}_total" if each.type == "counter" else each.name for each in families}


def scraped(plane: Plane, daemon: str) -> dict[str, float]:
    """Sums over all labels, by name."""
    sums: dict[str, float] = {}
    for family in text_string_to_metric_families(exposition(plane, daemon)):
        for sample in family.samples:
            sums[sample.name] = sums.get(sample.name, 0) + sample.value
    return sums


def test_a_run_is_counted_by_everybody_who_had_to_do_with_it(plane: Plane, tmp_path: Path) -> None:
    before = {daemon: scraped(plane, daemon) for daemon in ("control", "executor")}
    run = plane.submit(make_bundle(tmp_path, "exit 0\n", name="counted"))
    plane.sealed(run)
    plane.view(run, "succeeded")
    control, executor = scraped(plane, "control"), scraped(plane, "executor")
    for name in ("intents", "reports", "decisions", "appended_events", "placements", "heartbeats"):
        assert control[f"agentplane_{name}_total"] > before["control"].get(f"agentplane_{name}_total", 0), name
    for name in ("guests", "guest_seconds", "heartbeats"):
        assert executor[f"agentplane_{name}_total"] > before["executor"].get(f"agentplane_{name}_total", 0), name
    assert control["agentplane_runs"] == before["control"]["agentplane_runs"] + 1
    assert executor["agentplane_journal_records"] >= before["executor"]["agentplane_journal_records"] + 6
    projector = scraped(plane, "projector")
    assert projector["agentplane_database_up"] == 1
    assert projector["agentplane_projection_stopped"] == 0


def test_what_dashboard_and_alerts_ask_for_is_there(plane: Plane) -> None:
    there = {name for daemon in ("control", "projector", "executor") for name in offered(plane, daemon)}
    asked = (MONITORING / "dashboard.json").read_text() + (MONITORING / "alerts.yml").read_text()
    names = set(re.findall(r"\bagentplane_[a-z_]+", asked))
    assert len(names) > 20
    assert names <= there


@pytest.mark.parametrize("daemon", ["control", "projector", "executor"])
def test_a_daemon_stays_small(plane: Plane, daemon: str) -> None:
    scraped(plane, daemon)
    pid = plane.pid(daemon)
    assert pid is not None
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    assert pages * os.sysconf("SC_PAGE_SIZE") < MAX_RSS_MIB * 2**20
