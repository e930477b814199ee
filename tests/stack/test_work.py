"""Work as VerMAS tells it, on a running stack: recorded, imported, listed, evaluated, and rebuilt the same."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from tests.stack.plane import ROOT, Plane, awaited

pytestmark = pytest.mark.stack

HISTORY = ROOT / "examples" / "vermas.jsonl"
ORDER = ROOT / "examples" / "work-order.yaml"


def got(plane: Plane, *words: str, **wanted: Any) -> dict[str, Any]:
    """A row, once it says what is wanted."""

    def look() -> dict[str, Any] | None:
        answer = plane.call("get", *words, "-o", "json", status=None)
        found: dict[str, Any] = json.loads(answer.stdout) if answer.returncode == 0 else {}
        return found if wanted.items() <= found.items() else None

    return awaited(look, f"{words} to be {wanted}")


def record(plane: Plane, type_: str, *words: str, status: int = 0, **data: Any) -> dict[str, Any]:
    answer = plane.call("events", "append", type_, "--data", json.dumps(data), "-o", "json", *words, status=status)
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


def metrics(plane: Plane, *words: str) -> dict[str, Any]:
    report = json.loads(plane.call("eval", *words, "-o", "json").stdout)
    return {each["name"]: each for section in report["sections"] for each in section["metrics"]}


def test_an_event_is_recorded_once_seen_and_counted(plane: Plane) -> None:
    order: dict[str, Any] = {"work_order_id": "st-1", "title": "Try it", "priority": 0}
    first = record(plane, "work_order.created", "--id", "st-evt-1", "--actor", "st/mayor", **order)
    assert first["result"] == "recorded"
    again = record(
        plane, "bead.created", "--id", "st-evt-1", "--actor", "st/mayor", status=5, bead_id="st-1", title="Else"
    )
    assert again["error"]["code"] == "event.conflict"
    assert again["error"]["message"].count("sha256:") == 2
    same = record(plane, "work_order.created", "--id", "st-evt-1", "--actor", "st/mayor", **order)
    assert (same["result"], same["id"]) == ("already recorded", first["id"])
    record(plane, "bead.hooked", "--actor", "st/mayor", bead_id="st-1", agent="st/slot0")
    record(plane, "work_order.closed", "--actor", "st/slot0", work_order_id="st-1", reason="done")
    item = got(plane, "workitem", "st-1", status="closed")
    assert (item["assignee"], item["priority"], item["createdBy"]) == ("st/slot0", 0, "st/mayor")
    past = json.loads(plane.call("get", "workitem", "st-1", "--at", str(first["sequence"]), "-o", "json").stdout)
    assert (past["status"], past["assignee"]) == ("open", None)
    rates = metrics(plane, "completion", "--actor", "st/*")
    assert rates["completion_rate_created"]["value"] == 1
    assert metrics(plane, "delivery", "--actor", "nobody")["delivery_rate"]["value"] is None


def test_what_no_catalogue_takes_is_refused_with_what_was_probably_meant(plane: Plane) -> None:
    unknown = record(plane, "work_order.craeted", status=3)["error"]
    assert unknown["code"] == "event.type-unknown"
    assert "work_order.created" in unknown["hint"]
    slip = record(plane, "work_order.created", status=2, work_order_id="x", titel="t")["error"]
    assert (slip["code"], "'title'" in slip["message"]) == ("event.data-invalid", True)
    assert record(plane, "run.placed", status=2)["error"]["code"] == "event.type-reserved"
    secret = record(plane, "work_order.created", status=2, work_order_id="x", title="ghp_" + "a" * 36)["error"]
    assert "ghp_" not in json.dumps(secret)
    foreign = record(plane, "invoice.paid", cents=1)
    assert (foreign["result"], foreign["kind"], foreign["catalogued"]) == ("recorded", "Foreign", False)


def test_a_work_order_that_is_applied_is_work_like_any_other(plane: Plane) -> None:
    plane.call("apply", "-f", ORDER, "--wait")
    record(plane, "work_order.status_changed", work_order_id="wo-rate-limit", to_status="in_progress")
    item = got(plane, "workitem", "wo-rate-limit", status="in_progress")
    assert (item["title"], item["assignee"], item["priority"]) == (
        "Limit requests per tenant",
        "project-a/worker-1",
        1,
    )

    def phase() -> bool | None:
        shown = json.loads(plane.call("get", "workorder", "wo-rate-limit", "-o", "json").stdout)
        return shown["status"].get("phase") == "in_progress" or None

    awaited(phase, "the document to say so")


def test_an_imported_history_in_any_order_is_seen_evaluated_and_rebuilt(plane: Plane, tmp_path: Path) -> None:
    lines = HISTORY.read_text().splitlines()
    random.Random(3).shuffle(lines)  # noqa: S311 - an order, not a secret
    shuffled = tmp_path / "shuffled.jsonl"
    shuffled.write_text("\n".join([*lines, *lines[:4]]) + "\n")
    plane.call("events", "import", shuffled)
    plane.call("events", "import", HISTORY)
    assert got(plane, "verification", "gt-def456", verdict="PASS")["testsPassed"] == "1/1"
    process = got(plane, "process", "mol-1", progress="1/3")
    assert [step["state"] for step in process["steps"]] == ["completed", "ready", "blocked"]
    assert got(plane, "agent", "gastown/polecats/slot0")["liveness"] == "stopped"
    assert got(plane, "mailbox", "gastown/refinery", unread=1)["total"] == 1
    plane.call("eval", "report", "--output", tmp_path / "out")
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert len(report["sections"]) == 6
    assert "## Verification" in (tmp_path / "out" / "report.md").read_text()
    ours = metrics(plane, "verification", "--actor", "gastown/*")
    assert ours["pass_rate"]["value"] == 1
    assert ours["true_positive_rate"]["value"] is None
    for name in ("work_items", "work_messages", "work_agents", "work_processes", "work_verifications"):
        (rebuilt,) = json.loads(plane.call("projections", "rebuild", name, "-o", "json").stdout)
        assert rebuilt["equal"]
