"""Caches may be away for a while, counted from the first time; other delays are none of it."""

from agentplane.errors import Transient
from services.executor.patience import Patience

AWAY = Transient("away", code="cache.unreachable")
FULL = Transient("full", code="state-dir.full")


def test_it_counts_from_the_first_time() -> None:
    patience = Patience(60)
    assert [patience.spent(AWAY, now) for now in (100.0, 130.0, 159.9, 160.0)] == [False, False, False, True]


def test_other_delays_neither_begin_nor_end_it() -> None:
    patience = Patience(60)
    assert not patience.spent(FULL, 0.0)
    assert not patience.spent(AWAY, 1000.0)
    assert not patience.spent(FULL, 5000.0)


def test_no_patience_at_all() -> None:
    assert Patience(0).spent(AWAY, 5.0)
