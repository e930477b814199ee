"""From an intent handed to the bus to the read model that shows it, on a live stack, at a steady rate.

Open loop: intents leave when they are due, whether or not earlier ones are through. An intent counts as readable when
the projection `resources` has committed the fact that follows from it; its position is looked at every millisecond.
"""

import asyncio
import time
import uuid
from bisect import bisect_left
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, Final

import psycopg

from agentplane.bus.nats import NatsBus
from agentplane.cli.context import connected, load_context
from agentplane.cli.submit import publish
from agentplane.events.model import Event, StreamId
from agentplane.intents.resources import request_apply
from agentplane.stack import provision
from agentplane.stack.layout import Layout
from agentplane.stack.ports import load_ports
from agentplane.store.pipeline import Pipeline, rows
from agentplane.store.roles import PROJECT
from scripts.bench.report import Line, Unmeasured

RATE, SECONDS, WARM_UP_S = 200, 8, 2
NAMES: Final = 200  # resources that change in turn
P50_GOAL_MS, P99_GOAL_MS = 15.0, 60.0
LOOK_S: Final = 0.001
PATIENCE_S: Final = 20.0
POSITION: Final = "SELECT position FROM views.checkpoints WHERE projection = 'resources'"
FACTS: Final = (
    "SELECT causation_id, sequence, extract(epoch FROM recorded_at) FROM log.events "
    "WHERE causation_id = ANY(%s) AND type = 'resource.applied'"
)

Seen = list[tuple[int, float]]  # a position, and when it was first seen


def measure(state_dir: Path) -> list[Line]:
    """One steady stretch; percentiles of all intents after the warm-up."""
    return asyncio.run(_measure(state_dir))


async def _measure(state_dir: Path) -> list[Line]:
    layout, context = Layout(state_dir), load_context(state_dir)
    ports = load_ports(layout.ports)
    if ports is None:
        raise Unmeasured(f"no stack runs in {state_dir}")
    conninfo = provision.conninfo(layout, ports["postgres"], PROJECT)
    seen: Seen = []
    async with connected(context) as bus, await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as database:
        watching = asyncio.create_task(_watch(conninfo, seen))
        try:
            sent, acknowledged = await _send(bus, context.tenant)
            facts = await _facts(database, sent)
            await _until_seen(seen, max(sequence for sequence, _ in facts.values()))
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching
    return _lines(_stages(sent, acknowledged, facts, seen))


def _intent(tenant: str, number: int) -> Event:
    identity = uuid.uuid4()
    spec = {
        "displayName": f"Bench {identity.hex[:12]}",
        "owner": {"name": "Bench", "email": "bench@example.org"},
        "tier": "standard",
    }
    stream = StreamId(tenant, "Organization", "default", f"bench-{number % NAMES:03}")
    version, now = "agentplane.io/v1alpha1", datetime.now(UTC)
    return request_apply(identity, stream=stream, api_version=version, spec=spec, actor="user:bench", now=now)


async def _send(bus: NatsBus, tenant: str) -> tuple[dict[uuid.UUID, float], dict[uuid.UUID, float]]:
    """When each intent left, and when the bus had it."""
    sent: dict[uuid.UUID, float] = {}
    acknowledged: dict[uuid.UUID, float] = {}

    async def one(intent: Event) -> None:
        sent[intent.id] = time.time()
        await publish(bus, intent)
        acknowledged[intent.id] = time.time()

    started, tasks = time.perf_counter(), []
    for number in range(RATE * SECONDS):
        await asyncio.sleep(max(0.0, started + number / RATE - time.perf_counter()))
        tasks.append(asyncio.create_task(one(_intent(tenant, number))))
    await asyncio.gather(*tasks)
    warm = list(sent)[RATE * WARM_UP_S :]
    return {each: sent[each] for each in warm}, acknowledged


async def _watch(conninfo: str, seen: Seen) -> None:
    database = await psycopg.AsyncConnection.connect(conninfo, autocommit=True)
    try:
        while True:
            pipeline = Pipeline(database)  # which takes the least of the two cores that all of this shares
            pipeline.add(POSITION)
            ((position,),) = rows(database, (await pipeline.run())[0])
            if not seen or position > seen[-1][0]:
                seen.append((position, time.time()))
            await asyncio.sleep(LOOK_S)
    finally:
        await database.close()


async def _facts(database: Any, sent: dict[uuid.UUID, float]) -> dict[uuid.UUID, tuple[int, float]]:  # noqa: ANN401 - a connection
    deadline = time.monotonic() + PATIENCE_S
    while True:
        found = await (await database.execute(FACTS, [list(sent)])).fetchall()
        if len(found) >= len(sent):
            return {row[0]: (row[1], float(row[2])) for row in found}
        if time.monotonic() > deadline:
            raise Unmeasured(f"of {len(sent)} intents {len(found)} were decided within {PATIENCE_S:.0f} s")
        await asyncio.sleep(0.1)


async def _until_seen(seen: Seen, sequence: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not seen or seen[-1][0] < sequence:  # noqa: ASYNC110 - what is awaited is a row
            await asyncio.sleep(LOOK_S)


def _stages(
    sent: dict[uuid.UUID, float],
    acknowledged: dict[uuid.UUID, float],
    facts: dict[uuid.UUID, tuple[int, float]],
    seen: Seen,
) -> dict[str, list[float]]:
    """Milliseconds of each intent, by stage."""
    positions = [position for position, _ in seen]
    stages: dict[str, list[float]] = {"whole": [], "bus": [], "recorded": [], "readable": []}
    for intent, left in sent.items():
        sequence, recorded = facts[intent]
        readable = seen[bisect_left(positions, sequence)][1]
        stages["whole"].append((readable - left) * 1000)
        stages["bus"].append((acknowledged[intent] - left) * 1000)
        stages["recorded"].append((recorded - left) * 1000)
        stages["readable"].append((readable - recorded) * 1000)
    return {stage: sorted(times) for stage, times in stages.items()}


def _lines(stages: dict[str, list[float]]) -> list[Line]:
    whole = stages["whole"]
    goals = ((f"intent to readable at {RATE}/s, p50", median(whole), P50_GOAL_MS), ("p99", _p99(whole), P99_GOAL_MS))
    lines = [
        Line(
            name=name if name.startswith("intent") else f"intent to readable at {RATE}/s, {name}",
            ours=f"{value:.1f} ms",
            peer="-",
            ratio=f"{value / goal:.2f}",
            goal=f"<= {goal:.0f} ms",
            met=value <= goal,
        )
        for name, value, goal in goals
    ]
    words = {
        "bus": "of it, until the bus has it",
        "recorded": "of it, until control decides",
        "readable": "of it, from then until readable",
    }
    return lines + [
        Line(
            name=words[stage],
            ours=f"p50 {median(stages[stage]):.1f} ms, p99 {_p99(stages[stage]):.1f} ms",
            peer="-",
            ratio="-",
            goal="-",
            met=None,
        )
        for stage in words
    ]


def _p99(ordered: list[float]) -> float:
    return ordered[int(len(ordered) * 0.99)]
