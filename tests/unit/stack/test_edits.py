"""`stack up` renders the configuration anew, and keeps what somebody changed in it."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentplane.stack.edits import merged, rendered

JSON = st.recursive(
    st.integers(0, 3) | st.text("ab", max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("xyz"), inner, max_size=3),
    max_leaves=6,
)
DOCUMENTS = st.dictionaries(st.sampled_from("xyz"), JSON, max_size=3)


def content(path: Path) -> Any:
    return json.loads(path.read_text())


def test_an_edit_outlives_a_new_rendering_and_is_named(tmp_path: Path) -> None:
    path = tmp_path / "control.json"
    assert rendered(path, {"lease": 30, "nats": {"servers": ["a"], "name": "x"}}) == ()
    path.write_text(json.dumps({"lease": 60, "nats": {"servers": ["a"], "name": "x"}, "policy_file": "/p"}))
    said = rendered(path, {"lease": 30, "nats": {"servers": ["b"], "name": "x"}, "new": 1})
    assert content(path) == {"lease": 60, "nats": {"servers": ["b"], "name": "x"}, "new": 1, "policy_file": "/p"}
    assert said == (
        "control.json: lease is kept as somebody set it",
        "control.json: policy_file is kept as somebody set it",
    )
    assert rendered(path, {"lease": 30, "nats": {"servers": ["b"], "name": "x"}, "new": 1}) == said  # and the next time


def test_what_somebody_removed_stays_away(tmp_path: Path) -> None:
    path = tmp_path / "projector.json"
    rendered(path, {"mirror": {"directory": "/m"}, "x": 1})
    path.write_text('{"x": 1}')
    assert rendered(path, {"mirror": {"directory": "/m"}, "x": 2}) == (
        "projector.json: mirror is kept as somebody removed it",
    )
    assert content(path) == {"x": 2}


@pytest.mark.parametrize("former", ['{"lease": 60}', "[1]", '{"lease": 30, "more": 1}'])
def test_a_stack_of_an_older_version_keeps_the_former_file_beside(tmp_path: Path, former: str) -> None:
    path = tmp_path / "control.json"
    path.write_text(former)
    (said,) = rendered(path, {"lease": 30})
    assert "control.json.before" in said
    assert content(path) == {"lease": 30}
    assert content(tmp_path / "control.json.before") == json.loads(former)


def test_a_damaged_file_is_rendered_anew_and_kept_beside(tmp_path: Path) -> None:
    path = tmp_path / "control.json"
    rendered(path, {"lease": 30})
    path.write_text('{"lease": 60')
    assert rendered(path, {"lease": 31}) == ("control.json: written anew; the former one is control.json.before",)
    assert content(path) == {"lease": 31}
    assert (tmp_path / "control.json.before").read_text() == '{"lease": 60'


@given(base=DOCUMENTS, new=DOCUMENTS, current=DOCUMENTS)
def test_without_edits_it_is_the_new_one_and_without_changes_the_edited_one(base: Any, new: Any, current: Any) -> None:
    edits: list[str] = []
    assert merged(base, base, new, edits) == new
    assert edits == []
    assert merged(base, current, base, edits) == current
