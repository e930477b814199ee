"""Verification: no flipped bit, no mutation and no other selection of records passes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from agentplane.runs.model import Expected
from agentplane.runs.states import Outcome
from tests.unit.evidence.checking import (
    Contents,
    check,
    lines,
)
from tests.unit.evidence.story import FINISHED, Story

# Three exports: a refused run, the least that a finished run can be, and a replay with everything in it.
REFUSED = Story(valid=False).contents()
LEAST = Story(
    finished=replace(FINISHED, artifacts=()),
    guest_files={},
    omit=frozenset({"RunStarted", "PlacementReceipt", "ReplayArtifact"}),
).contents()
WHOLE = Story(expected=Expected(run="x", outcome=Outcome.EXITED, exit_code=1, artifacts=())).contents()


def test_the_exports_that_are_mutated_below_verify_as_they_are() -> None:
    assert [check(contents).verdict for contents in (REFUSED, LEAST, WHOLE)] == ["verified"] * 3


@pytest.mark.parametrize("path", sorted(REFUSED))
def test_every_flipped_bit_of_a_refused_run_is_noticed(path: str) -> None:
    for position in range(len(REFUSED[path])):
        for bit in range(8):
            assert not check(flipped(REFUSED, path, position, 1 << bit)).verified, (position, bit)


@pytest.mark.parametrize("path", sorted(LEAST))
def test_every_flipped_byte_of_a_finished_run_is_noticed(path: str) -> None:
    for position in range(len(LEAST[path])):
        assert not check(flipped(LEAST, path, position, 0x01)).verified, position


def flipped(contents: Contents, path: str, position: int, mask: int) -> Contents:
    changed = bytearray(contents[path])
    changed[position] ^= mask
    return {**contents, path: bytes(changed)}


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_no_mutation_of_any_file_verifies(data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(sorted(WHOLE)))
    original = WHOLE[path]
    start = data.draw(st.integers(0, len(original)))
    end = data.draw(st.integers(start, min(len(original), start + 40)))
    new = data.draw(st.binary(max_size=8) | st.sampled_from([original[:20], original[-20:]]))
    mutated = original[:start] + new + original[end:]
    assert check({**WHOLE, path: mutated}).verified == (mutated == original)


@given(order=st.permutations(range(WHOLE["evidence.jsonl"].count(b"\n"))), keep=st.integers(0, 12))
@settings(max_examples=150, deadline=None)
def test_no_other_selection_of_records_verifies(order: list[int], keep: int) -> None:
    chosen = order[:keep]
    contents = lines(WHOLE, lambda records: [records[number] for number in chosen])
    assert check(contents).verified == (chosen == list(range(WHOLE["evidence.jsonl"].count(b"\n"))))
    assert check(WHOLE).verified
