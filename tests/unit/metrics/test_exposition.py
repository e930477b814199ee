"""The endpoint: off without a port, on loopback with one, read on the daemon's own loop."""

import asyncio
import socket
import urllib.request
from collections.abc import Iterable
from contextlib import suppress

import pytest
from prometheus_client.parser import text_string_to_metric_families

from agentplane.errors import AgentplaneError, Broken, NotFound, Refused, Tampered, Transient
from agentplane.metrics.counters import REGISTRY, count_appended, count_guest, count_message, counted_pull
from agentplane.metrics.exposition import Gauge, exposed


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listening(address: str, port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((address, port)) == 0


def scraped(port: int) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    families = text_string_to_metric_families(text)
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


async def sample() -> Iterable[Gauge]:
    assert asyncio.get_running_loop() is not None
    return [Gauge("things", "Things.", count, {"kind": kind}) for kind, count in (("a", 1), ("b", 2))]


async def test_gauges_are_read_when_somebody_asks() -> None:
    port = free_port()
    async with exposed(port, sample):
        found = await asyncio.to_thread(scraped, port)
        assert found["agentplane_things", (("kind", "a"),)] == 1
        assert found["agentplane_things", (("kind", "b"),)] == 2
        assert any(name == "agentplane_build_info" for name, _ in found)
        assert any(name == "process_resident_memory_bytes" for name, _ in found)
    assert not listening("127.0.0.1", port)


async def test_nothing_listens_without_a_port() -> None:
    before = set(asyncio.all_tasks())
    async with exposed(None, sample):
        assert set(asyncio.all_tasks()) == before


async def test_other_addresses_are_not_served() -> None:
    port = free_port()
    async with exposed(port, sample):
        assert not await asyncio.to_thread(listening, "127.0.0.2", port)


async def test_a_port_that_is_taken_is_named() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = int(other.getsockname()[1])
        with pytest.raises(Broken, match=str(port)) as caught:
            async with exposed(port, sample):
                pytest.fail("served on somebody else's port")
    assert caught.value.code == "metrics.port"


async def test_counters_count() -> None:
    port = free_port()
    names = {
        ("agentplane_intents_total", (("result", "taken"),)): 1,
        ("agentplane_reports_total", (("result", "rejected"),)): 1,
        ("agentplane_placements_total", (("result", "placed"),)): 1,
        ("agentplane_appended_events_total", (("type", "run.placed"),)): 1,
        ("agentplane_guests_total", (("outcome", "exited"),)): 2,
        ("agentplane_guest_seconds_total", ()): 2.5,
    }
    async with exposed(port, sample):
        before = await asyncio.to_thread(scraped, port)
        count_message("agentplane.default.intent.Run.run.requested", "taken")
        count_message("agentplane-executor.exec-1.report", "rejected")
        count_appended(("run.placed",))
        count_guest("exited", "2026-03-01T00:00:00Z", "2026-03-01T00:00:02.5Z")
        count_guest("exited", "", "never")  # a shim that died wrote no times: the guest counts, seconds do not
        after = await asyncio.to_thread(scraped, port)
    assert {name: after[name] - before.get(name, 0) for name in names} == names


@pytest.mark.parametrize(
    ("error", "result"),
    [
        (None, "fetched"),
        (NotFound("none", code="cache.absent"), "absent"),
        (Tampered("not it", code="cache.nar-hash"), "refused"),
        (Refused("who?", code="cache.unknown-key"), "refused"),
        (Transient("away", code="cache.unreachable"), "failed"),
    ],
)
def test_pulls_are_counted_by_what_became_of_them(error: AgentplaneError | None, result: str) -> None:
    def pulls() -> float:
        return REGISTRY.get_sample_value("agentplane_cache_pulls_total", {"result": result}) or 0

    def pulled() -> float:
        return REGISTRY.get_sample_value("agentplane_cache_pulled_bytes_total") or 0

    pulls_before, bytes_before = pulls(), pulled()
    with suppress(AgentplaneError), counted_pull() as came:
        if error is not None:
            raise error
        came(100)
    assert pulls() == pulls_before + 1
    assert pulled() == bytes_before + (0 if error else 100)
