"""Who builds which version of a read model, when it may take its place, and what is said of it meanwhile."""

from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from agentplane.projections.notices import consult, consulted, notice_of
from agentplane.projections.status import Building, Poison, State, Status, percent, span, state_of, words
from agentplane.projections.upgrades import Course, complete, course, orphaned, readable

NOW = datetime(2026, 3, 1, tzinfo=UTC)
LIVE = Status(projection="runs", version=1, position=90, lag=0, poison=None, rebuilt_at=None, updated_at=NOW)
BUILD = Building(version=2, position=43, percent=43)
STOP = Poison(sequence=44, event_id="e", reason="event.payload: not a number")
WAIT = Poison(sequence=44, event_id="e", reason="event.newer: version 3")


@pytest.mark.parametrize(
    ("ours", "served", "alive", "expected"),
    [
        (2, 2, {2}, Course.KEEP),
        (2, 2, {2, 3}, Course.KEEP),  # until the newer one has switched
        (2, 1, {1, 2}, Course.BUILD),  # beside an old one
        (1, 2, {1, 2}, Course.STAND_BY),  # the old one does not take back what the new one did
        (1, 2, {1}, Course.BUILD),  # a downgrade
        (2, 1, {1, 2, 3}, Course.STAND_BY),  # the newest one builds
        (2, 3, {2, 1}, Course.BUILD),
    ],
)
def test_the_newest_program_alive_decides(ours: int, served: int, alive: set[int], expected: Course) -> None:
    assert course(ours, served, alive) is expected


@pytest.mark.parametrize(
    ("position", "served", "head", "waits", "expected"),
    [
        (10, 8, 10, False, True),
        (9, 8, 10, False, False),
        (9, 8, 10, True, True),  # no program of its version comes farther
        (7, 8, 10, True, False),  # nobody may see less than before
        (12, 8, 10, False, True),
    ],
)
def test_a_build_takes_its_place_when_it_is_complete(
    position: int, served: int, head: int, waits: bool, expected: bool
) -> None:
    assert complete(position, served=served, head=head, waits=waits) is expected


@pytest.mark.parametrize(
    ("version", "served", "ours", "alive", "quiet", "expected"),
    [
        (2, 1, 2, {2}, True, False),  # ours: gone on with
        (2, 1, 1, {1, 2}, True, False),  # a living program's
        (2, 1, 1, {1}, False, False),  # it may only be restarting
        (2, 1, 1, {1}, True, True),
        (2, 1, None, set(), True, True),  # of a domain that is no more
        (1, 1, 1, {1}, False, True),  # a comparison that was killed
        (2, None, 2, {2}, False, True),
    ],
)
def test_what_a_dead_program_left_behind_is_known(  # noqa: PLR0917 - one column each
    version: int, served: int | None, ours: int | None, alive: set[int], quiet: bool, expected: bool
) -> None:
    assert orphaned(version, served=served, ours=ours, alive=alive, quiet=quiet) is expected


@pytest.mark.parametrize(
    ("ours", "ours_from", "served", "served_from", "expected"),
    [
        (2, 1, 1, 1, True),
        (2, 2, 1, 1, False),  # the new program says that old rows mean something else
        (1, 1, 2, 1, True),
        (1, 1, 2, 2, False),  # the old one goes by what the new one said
        (3, 3, 3, 3, True),
    ],
)
def test_the_newer_side_says_whether_rows_mean_the_same(
    ours: int, ours_from: int, served: int, served_from: int, expected: bool
) -> None:
    assert readable(ours, ours_from, served, served_from) is expected


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (LIVE, State.LIVE),
        (replace(LIVE, lag=3, lag_s=1.0), State.LIVE),
        (replace(LIVE, lag=3, lag_s=9.0), State.CATCHING_UP),
        (replace(LIVE, rebuilding=5), State.REBUILDING),
        (replace(LIVE, poison=STOP), State.STOPPED),
        (replace(LIVE, poison=WAIT), State.WAITING),
        (replace(LIVE, building=BUILD), State.UPGRADING),
        (replace(LIVE, building=replace(BUILD, poison=WAIT)), State.UPGRADING),
        (replace(LIVE, building=replace(BUILD, poison=STOP)), State.STOPPED),
        (replace(LIVE, poison=STOP, building=BUILD), State.UPGRADING),  # what mends it is on its way
    ],
)
def test_states(status: Status, state: State) -> None:
    assert state_of(status) is state
    told = replace(status, state=state_of(status))
    assert (notice_of(told) is None) is (state in {State.LIVE, State.REBUILDING})


def test_words_name_versions_how_far_and_why() -> None:
    late = replace(LIVE, lag=7, lag_s=200.0, building=replace(BUILD, poison=STOP), state=State.STOPPED)
    assert words(late) == (
        "version 2 is built for this release, 43 %, and stopped before event 44: event.payload: not a number; until "
        "then version 1 is served, as of event 90, 7 events behind (3 min)"
    )
    assert words(replace(LIVE, poison=WAIT, state=State.WAITING)) == "waits before event 44: event.newer: version 3"
    behind = replace(LIVE, lag=1, lag_s=6.0, state=State.CATCHING_UP)
    assert words(behind) == "as of event 90, 1 event behind (6 s)"
    assert words(LIVE) == ""
    notice = notice_of(late)
    assert notice is not None
    assert (notice.state, notice.version, notice.percent, notice.lag) == (State.STOPPED, 1, 43, 7)


def test_no_build_is_whole_before_the_switch() -> None:
    assert [percent(*each) for each in ((0, 0), (0, 7), (6, 7), (7, 7), (999_999, 1_000_000))] == [0, 0, 85, 99, 99]
    assert [span(each) for each in (4.4, 119, 120, 7200, 200_000)] == ["4 s", "119 s", "2 min", "2 h", "2 d"]


def test_what_is_read_is_noted_for_who_asked() -> None:
    consult("nobody")
    with consulted() as outer:
        consult("runs")
        with consulted() as inner:
            consult("evidence")
        consult("runs")
    assert (outer, inner) == ({"runs"}, {"evidence"})
