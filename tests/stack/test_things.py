"""Things by name, from the command line: several at once, both ways of naming, every form of answer."""

import json
from pathlib import Path

import pytest
import yaml

from tests.stack.plane import Plane

pytestmark = pytest.mark.stack

ONE = """
---
apiVersion: agentplane.io/v1alpha1
kind: Organization
metadata: {{name: {name}, namespace: {namespace}, labels: {{story: things}}}}
spec: {{displayName: {shown}, owner: {{name: Zoë, email: z@example.org}}}}
"""


@pytest.fixture
def documents(plane: Plane, tmp_path: Path) -> Path:
    """Two organizations in two namespaces, applied."""
    path = tmp_path / "two.yaml"
    path.write_text(
        ONE.format(name="things-a", namespace="default", shown="A")
        + ONE.format(name="things-b", namespace="things", shown="B")
    )
    plane.call("apply", "-f", path, "--wait")
    return path


def test_several_things_are_one_answer(plane: Plane, documents: Path) -> None:
    refs = plane.call("get", "organizations", "-A", "-l", "story=things", "-o", "name").stdout.split()
    assert refs == ["Organization/things-a", "Organization/things/things-b"]
    lines = plane.call("get", *refs, "-o", "jsonl").stdout.splitlines()
    assert [json.loads(line)["metadata"]["name"] for line in lines] == ["things-a", "things-b"]
    assert json.loads(plane.call("get", "organization", "things/things-b", "-o", "json").stdout)["kind"]
    table = plane.call("get", *refs).stdout
    assert table.count("community") == 2  # a default, which holds without being written
    assert plane.call("describe", *refs).stdout.count("organization-activation@") == 2
    some = plane.call("get", "Organization/things-a", "Organization/nosuch", "-o", "jsonl", status=3)
    assert json.loads(some.stdout.splitlines()[0])["metadata"]["name"] == "things-a"
    assert "default/nosuch" in some.stderr


def test_what_is_printed_is_taken_again(plane: Plane, documents: Path, tmp_path: Path) -> None:
    for form in ("json", "jsonl"):
        path = tmp_path / f"again.{form}"
        path.write_text(plane.call("get", "organizations", "-A", "-l", "story=things", "-o", form).stdout)
        outcomes = json.loads(plane.call("apply", "-f", path, "-o", "json").stdout)
        assert [each["result"] for each in outcomes] == ["unchanged", "unchanged"]


def test_what_has_changed_since_is_shown(plane: Plane, documents: Path) -> None:
    last = json.loads(plane.call("events", "tail", "-n", "1", "-o", "jsonl").stdout)["sequence"]
    documents.write_text(documents.read_text().replace("displayName: B", "displayName: C"))
    assert "+  displayName: C" in plane.call("diff", "-f", documents, status=1).stdout
    plane.call("diff", "-f", documents, "Organization/things-a")
    plane.call("apply", "-f", documents, "--wait")
    plane.call("diff", "-f", documents)
    since = plane.call("diff", "Organization/things/things-b", "--at", last.lstrip("0"), status=1).stdout
    assert "-  displayName: B" in since
    assert "+  displayName: C" in since
    plane.call("diff", "Organization/things-a", "--at", last.lstrip("0"))
    plane.call("diff", "Organization/nosuch", "--at", "1", status=3)


def test_what_is_there_is_deleted_whatever_is_not(plane: Plane, documents: Path) -> None:
    refs = ("Organization/things-a", "Organization/nosuch", "Organization/things/things-b")
    gone = plane.call("delete", *refs, "--wait", "-o", "yaml", status=3)
    results = {each["name"]: each["result"] for each in yaml.safe_load(gone.stdout)}
    assert results == {"things-a": "deleted", "nosuch": "missing", "things-b": "deleted"}
    plane.call("delete", *refs, "--ignore-not-found")
    plane.call("delete", "organization", "things-a", "-f", documents, status=2)


def test_a_story_is_told_of_one_namespace(plane: Plane, documents: Path, tmp_path: Path) -> None:
    path = tmp_path / "same.yaml"
    path.write_text(ONE.format(name="things-a", namespace="things", shown="S"))
    plane.call("apply", "-f", path, "--wait")
    refused = plane.call("events", "replay", "Organization/things-a", status=2)
    assert "default, things" in refused.stderr
    told = json.loads(plane.call("events", "replay", "Organization/things/things-a", "-o", "json").stdout)
    assert told
    listed = plane.call(
        "events", "list", "--kind", "organizations", "--name", "things-a", "--namespace", "things", "-o", "jsonl"
    )
    assert [json.loads(line)["id"] for line in listed.stdout.splitlines()] == [each["id"] for each in told]
