"""Which paths are fetched, from whom, and what is told when none has them."""

from collections.abc import Sequence

import pytest

from agentplane.caches.closure import Limits, closure, find
from agentplane.errors import AgentplaneError, Transient
from tests.unit.caches.samples import OTHER_SEED, OURS, MemoryCache, info_of, path, sign

A, B, C = path("a"), path("b"), path("c")
AWAY = Transient("away", code="cache.unreachable")


def cache_with(**references: tuple[str, ...]) -> MemoryCache:
    cache = MemoryCache()
    for letter, refs in references.items():
        cache.put(sign(info_of(path(letter), letter.encode(), *refs)), letter.encode())
    return cache


def walk(cache: MemoryCache, held: Sequence[str] = (), limits: Limits | None = None) -> list[str]:
    def missing(paths: Sequence[str]) -> Sequence[str]:
        return [each for each in paths if each not in held]

    return list(closure(A, missing, lambda each: find(each, (cache,), (OURS,), lambda _: None), limits or Limits()))


def test_all_that_is_needed_in_the_order_of_need() -> None:
    assert walk(cache_with(a=(A, B, C), b=(C,), c=(C,))) == [C, B, A]


def test_what_is_here_is_not_asked_for() -> None:
    cache = cache_with(a=(B, C), b=(), c=())
    assert walk(cache, held=[B]) == [C, A]
    assert not any(name.startswith("b") for name in cache.asked)
    assert walk(cache, held=[A]) == []


def test_a_circle_of_references_ends() -> None:
    assert sorted(walk(cache_with(a=(B,), b=(A, C), c=(B,)))) == [A, B, C]


@pytest.mark.parametrize("limits", [Limits(paths=2), Limits(total_bytes=2)])
def test_a_closure_beyond_all_bounds_is_refused(limits: Limits) -> None:
    with pytest.raises(AgentplaneError) as raised:
        walk(cache_with(a=(B,), b=(C,), c=()), limits=limits)
    assert raised.value.code == "cache.too-large"


def test_the_next_cache_serves_what_the_first_cannot_and_the_first_is_complained_of() -> None:
    lying = MemoryCache("http://lies")
    lying.put(sign(info_of(A, b"evil"), seed=OTHER_SEED), b"evil")
    heard: list[str] = []
    found = find(A, (lying, MemoryCache(away=AWAY), cache_with(a=())), (OURS,), lambda error: heard.append(error.code))
    assert [each.cache.url for each in found] == ["http://cache"]
    assert heard == ["cache.signature", "cache.unreachable"]


def test_the_gravest_complaint_is_told() -> None:
    unsigned, lying = MemoryCache(), MemoryCache()
    unsigned.put(info_of(A, b"a"), b"a")
    lying.put(sign(info_of(A, b"evil"), seed=OTHER_SEED), b"evil")
    absent, away = MemoryCache(), MemoryCache(away=AWAY)

    def told(*caches: MemoryCache) -> str:
        with pytest.raises(AgentplaneError) as raised:
            find(A, caches, (OURS,), lambda _: None)
        return raised.value.code

    assert told() == "store.missing"
    assert told(absent) == "cache.absent"
    assert told(absent, away) == "cache.unreachable"
    assert told(away, unsigned) == "cache.unsigned"
    assert told(unsigned, lying, away) == "cache.signature"
