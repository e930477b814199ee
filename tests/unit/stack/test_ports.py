"""A stack keeps its ports; one of an older version gets those that it lacks, and keeps the rest."""

import json
from pathlib import Path

import pytest

from agentplane.errors import Broken
from agentplane.stack.ports import METRICS, NAMES, load_or_choose, load_ports


def test_ports_are_chosen_once(tmp_path: Path) -> None:
    chosen = load_or_choose(tmp_path / "ports.json")
    assert set(chosen) == {*NAMES, *METRICS}
    assert len(set(chosen.values())) == len(chosen)
    assert load_or_choose(tmp_path / "ports.json") == chosen == load_ports(tmp_path / "ports.json")


def test_an_older_stack_gets_what_it_lacks(tmp_path: Path) -> None:
    path = tmp_path / "ports.json"
    old = {"postgres": 11111, "nats": 11112, "monitor": 11113}
    path.write_text(json.dumps(old))
    assert load_ports(path) == old
    chosen = load_or_choose(path)
    assert old.items() <= chosen.items()
    assert set(chosen) == {*NAMES, *METRICS}
    assert load_ports(path) == chosen


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "ports.json").write_text('{"postgres": "x"}')
    with pytest.raises(Broken, match=r"ports\.json"):
        load_or_choose(tmp_path / "ports.json")
