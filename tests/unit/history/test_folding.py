"""What each event changed, and views that are folds."""

import msgspec
import pytest

from agentplane.history.differences import Change, differences
from agentplane.history.folding import folded, steps
from agentplane.projections.engine import PROJECTIONS, RUNS, fold
from tests.unit.history.made import made
from tests.unit.projections.histories import Log


@pytest.fixture
def log() -> Log:
    log = Log()
    log.executor("exec-1")
    log.run("one")
    return log


def test_differences_name_every_field_once() -> None:
    before = {"a": 1, "b": {"c": [1, 2], "d": None}, "gone": "x", "seen": 1}
    after = {"a": 2, "b": {"c": [1, 3, 4], "d": 0}, "new": False, "seen": 2}
    assert differences(before, after, ignore=["seen"]) == (
        Change(path="a", op="changed", before=1, after=2),
        Change(path="b.c[1]", op="changed", before=2, after=3),
        Change(path="b.c[2]", op="added", after=4),
        Change(path="b.d", op="added", after=0),
        Change(path="gone", op="removed", before="x"),
        Change(path="new", op="added", after=False),
    )


@pytest.mark.parametrize(("before", "after"), [(True, 1), (0, False), ("1", 1)])
def test_another_type_is_another_value(before: object, after: object) -> None:
    assert [each.op for each in differences({"a": before}, {"a": after})] == ["changed"]


def test_equal_values_do_not_differ() -> None:
    value = {"a": [{"b": None}], "c": ""}
    assert differences(value, value) == ()
    assert differences({"a": None}, {}) == ()


def test_a_fold_in_pieces_is_the_projection_s_fold(log: Log) -> None:
    mine = [each for each in log.stored if each.event.stream.name == "one"]
    for cut in range(len(mine) + 1):
        view = folded(RUNS, folded(RUNS, None, mine[:cut]), mine[cut:])
        assert view == fold(RUNS, {}, log.stored, 0).changed["acme", "one"]


def test_steps_tell_what_each_event_changed(log: Log) -> None:
    mine = [each for each in log.stored if each.event.stream.name == "one"]
    found = {step.stored.event.type: {c.path: c for c in step.changes["runs"]} for step in steps(PROJECTIONS, mine)}
    assert len(found) == len(mine)
    assert found["run.placed"]["state"].after == "leased"
    assert found["run.placed"]["executor"] == Change(path="executor", op="added", after="exec-1")
    assert found["run.finished"]["state"].before == "running"
    assert not any(path.startswith(("timeline", "lastSequence")) for changes in found.values() for path in changes)


def test_the_steps_add_up_to_the_view(log: Log) -> None:
    mine = [each for each in log.stored if each.event.stream.name == "one"]
    flat: dict[str, object] = {}
    for step in steps(PROJECTIONS, mine):
        for change in step.changes["runs"]:
            flat.pop(change.path, None)
            if change.op != "removed":
                flat[change.path] = change.after
    view = msgspec.to_builtins(folded(RUNS, None, mine))
    assert {flat["state"], flat["executor"], flat["exitCode"]} == {view["state"], view["executor"], view["exitCode"]}


def test_an_event_that_no_projection_folds_changes_nothing() -> None:
    (step,) = steps({"runs": RUNS}, [made(1)])
    assert step.changes == {}
