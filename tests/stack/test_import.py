"""Foreign JSONL through the command line into a running stack, read back by every door."""

import json
import subprocess
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.stack.plane import COMMAND, ROOT, Plane, awaited
from tests.unit.imports.made import flat
from tests.unit.mirror.test_mirror import contents

pytestmark = pytest.mark.stack


def unique(count: int, **data: Any) -> list[dict[str, Any]]:
    """Lines that no other test has."""
    mark = uuid.uuid4().hex[:8]
    lines = [flat(number, bead_id=f"gt-{mark}-{number % 2}", **data) for number in range(1, count + 1)]
    return [{**line, "event_id": f"evt-{mark}-{number}"} for number, line in enumerate(lines, start=1)]


def write(path: Path, lines: Sequence[dict[str, Any] | str]) -> Path:
    path.write_text("".join((each if isinstance(each, str) else json.dumps(each)) + "\n" for each in lines))
    return path


def take(plane: Plane, path: Path, *options: str, status: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        plane.call("events", "import", path, "-o", "json", *options, status=status).stdout
    )
    assert found["status"] == status
    return found


def counts(found: dict[str, Any]) -> tuple[int, ...]:
    return tuple(found[each] for each in ("stored", "duplicates", "skipped", "refused"))


def listed(plane: Plane, *options: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in plane.call("events", "list", "-o", "jsonl", *options).stdout.splitlines()]


def test_told_twice_and_shuffled_it_is_there_once(plane: Plane, tmp_path: Path) -> None:
    lines = unique(40)
    first = write(tmp_path / "a.jsonl", [*lines[20:], *lines[:25]])
    assert counts(take(plane, first, "--dry-run")) == (40, 5, 0, 0)
    assert counts(take(plane, first)) == (40, 5, 0, 0)
    assert counts(take(plane, write(tmp_path / "b.jsonl", lines[::-1]))) == (0, 40, 0, 0)
    name = lines[0]["data"]["bead_id"]
    found = listed(plane, "--kind", "WorkOrder", "--name", name)
    assert [each["data"]["original_id"] for each in found] == [
        e["event_id"] for e in lines if e["data"]["bead_id"] == name
    ]


def test_a_fault_is_named_by_its_line_and_nothing_is_stored(plane: Plane, tmp_path: Path) -> None:
    lines = unique(3)
    secret = "ghp_" + "b" * 36
    faulty: list[dict[str, Any] | str] = [
        lines[0],
        '{"event_id": }',
        {**lines[1], "data": {"note": secret}},
        lines[2],
        "[]",
    ]
    path = write(tmp_path / "bad.jsonl", faulty)
    found = take(plane, path, status=2)
    assert counts(found) == (0, 0, 0, 3)
    problems = [(each["line"], each["column"], each["code"]) for each in found["problems"]]
    assert problems == [(2, 14, "import.json"), (3, None, "store.secret"), (5, 1, "import.json")]
    told = plane.call("events", "import", path, status=2)
    assert "bad.jsonl: line 2 column 14: " in told.stderr
    assert secret not in told.stdout + told.stderr + json.dumps(found)
    found = take(plane, path, "--on-error", "skip", status=1)
    assert counts(found) == (2, 0, 3, 0)
    assert secret not in "".join(path.read_text(errors="replace") for path in plane.layout.logs.glob("*.log"))


def test_an_id_with_another_body_shows_both_digests(plane: Plane, tmp_path: Path) -> None:
    lines = unique(2)
    take(plane, write(tmp_path / "a.jsonl", lines))
    changed = {**lines[0], "actor": "somebody else"}
    (new,) = unique(1)
    path = write(tmp_path / "b.jsonl", [new, changed])
    found = take(plane, path, status=5)
    assert counts(found) == (0, 0, 0, 1)
    assert found["problems"][0]["line"] == 2
    assert found["problems"][0]["reason"].count("sha256:") == 2
    assert counts(take(plane, path, "--on-error", "skip", status=1)) == (1, 0, 1, 0)


def test_our_own_export_is_known_in_both_forms(plane: Plane, tmp_path: Path) -> None:
    take(plane, write(tmp_path / "a.jsonl", unique(5)))
    for form in ("cloudevents", "plain"):
        path = tmp_path / f"{form}.jsonl"
        plane.call("events", "export", "--format", form, "--out", path)
        lines = len(path.read_text().splitlines())
        assert counts(take(plane, path)) == (0, lines, 0, 0)


def test_another_control_plane_s_history_is_shown_and_drives_nothing(plane: Plane, tmp_path: Path) -> None:
    run, correlation = f"other-{uuid.uuid4().hex[:12]}", str(uuid.uuid4())
    base: dict[str, Any] = {
        "specversion": "1.0",
        "source": "/agentplane/elsewhere",
        "time": "2026-01-06T10:30:00Z",
        "tenant": "elsewhere",
        "kind": "Run",
        "namespace": "default",
        "name": run,
        "correlationid": correlation,
    }
    wish = {
        **base,
        "id": str(uuid.uuid4()),
        "type": "run.requested",
        "phase": "intent",
        "actor": "user:eve",
        "data": {},
    }
    queued = {**base, "id": str(uuid.uuid5(uuid.NAMESPACE_OID, run)), "type": "run.queued", "phase": "fact"}
    queued |= {"actor": "controller:runs", "data": {}, "causationid": wish["id"]}
    path = write(tmp_path / "other.jsonl", [wish, queued])
    assert take(plane, path, status=2)["problems"][0]["code"] == "import.tenant"
    assert counts(take(plane, path, "--from-tenant", "elsewhere")) == (2, 0, 0, 0)
    found = listed(plane, "--correlation", correlation)
    assert [(each["type"], each["phase"], each["namespace"]) for each in found] == [
        ("run.requested", "intent", "imported.default"),
        ("run.queued", "fact", "imported.default"),
    ]
    assert "run.requested" in plane.call("events", "why", queued["id"]).stdout  # by the id that it had there
    assert '"queued"' in plane.call("events", "replay", f"run/{run}").stdout
    plane.call("get", "run", run, status=3)


def test_every_filter_is_one(plane: Plane, tmp_path: Path) -> None:
    lines = unique(6)
    take(plane, write(tmp_path / "a.jsonl", lines))
    name = lines[0]["data"]["bead_id"]
    mine = listed(plane, "--name", name, "--kind", "WorkOrder")
    seqs = [int(each["sequence"]) for each in mine]
    assert listed(plane, "--name", name, "--type", "work_order.*") == mine
    assert listed(plane, "--name", name, "--type", "run.*") == []
    assert listed(plane, "--name", name, "--actor", "may?r", "--phase", "fact", "--tenant", "default") == mine
    assert listed(plane, "--name", name, "--actor", "nobody") == []
    assert listed(plane, "--name", name, "--since", "1h") == mine
    assert listed(plane, "--name", name, "--since", mine[0]["recordedtime"], "--until", str(seqs[1])) == mine[:2]
    assert listed(plane, "--name", name, "--until", "1d") == []
    page = plane.call("events", "list", "--name", name, "--after", "0", "--limit", "2", "-o", "plain")
    assert [json.loads(line)["event_id"] for line in page.stdout.splitlines()] == [each["id"] for each in mine[:2]]
    assert page.stderr.strip() == f"more: --after {seqs[1]}"
    assert listed(plane, "--name", name, "--after", str(seqs[1])) == mine[2:]
    plane.call("events", "list", "--tenant", "rival", status=4)
    stats = json.loads(plane.call("events", "stats", "--name", name, "-o", "json").stdout)
    assert [(each["value"], each["count"]) for each in stats] == [("work_order.created", len(mine))]
    for form in ("table", "json", "yaml", "jsonl", "cloudevents", "plain"):
        assert lines[0]["data"]["bead_id"] in plane.call("events", "list", "--name", name, "-o", form).stdout


def test_the_mirror_has_it_for_grep(plane: Plane, tmp_path: Path) -> None:
    lines = unique(3)
    take(plane, write(tmp_path / "a.jsonl", lines))
    wanted = lines[-1]["event_id"].encode()

    def look() -> bytes | None:
        days = [data for path, data in contents(plane.layout.mirror).items() if path.startswith("default/events/")]
        return next((line for data in days for line in data.splitlines() if wanted in line), None)

    event = json.loads(awaited(look, "the mirror"))
    assert event["data"]["original_id"] == lines[-1]["event_id"]
    feed = (plane.layout.mirror / "default/feed.jsonl").read_text().splitlines()
    assert event["id"] in {json.loads(line)["id"] for line in feed}


def test_a_half_written_last_line_waits_until_it_is_whole(plane: Plane, tmp_path: Path) -> None:
    lines = [json.dumps(each) for each in unique(3)]
    path = tmp_path / "growing.jsonl"
    path.write_text(f"{lines[0]}\n{lines[1][:30]}")
    found = take(plane, path)
    assert (counts(found), found["waiting"]) == ((1, 0, 0, 0), 2)
    names = {json.loads(line)["event_id"] for line in lines}

    def stored() -> set[str]:
        found = listed(plane, "--type", "work_order.created", "--limit", "1000")
        return names & {each["data"].get("original_id") for each in found}

    follower = subprocess.Popen(
        [*COMMAND, "--state-dir", str(plane.layout.root), "events", "import", str(path), "--follow"],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with path.open("a") as file:
            file.write(lines[1][30:] + "\n" + lines[2][:10])
        awaited(lambda: len(stored()) == 2 or None, "the second line")
        with path.open("a") as file:
            file.write(lines[2][10:])  # no newline, but whole
        awaited(lambda: len(stored()) == 3 or None, "the third line")
    finally:
        follower.kill()
        follower.wait()
