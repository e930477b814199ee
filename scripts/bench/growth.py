"""How the log's figures grow with the log: the same measurements at 10 thousand, 100 thousand and a million events."""

import asyncio
import sys
from statistics import median
from typing import Final

from agentplane.projections.engine import STREAMS
from agentplane.store.reader import LogReader
from agentplane.store.views import ViewStore
from scripts.bench import append, reading
from scripts.bench.ground import Ground, fill_ours, ground, settle
from scripts.bench.report import Line

SIZES: Final = (10_000, 100_000, 1_000_000)
ROUNDS: Final = 3
NAMES: Final = {
    "many": "append, 64 awaited producers",
    "one": "append, 1 awaited producer",
    "batches": "append, batches of 1,000",
    "scan": "catch up, decoded",
    "copy": "psql COPY TO",
    "rebuild": "rebuild, a read model per run",
    "by hand": "set-based SQL by hand",
    "memory": "our memory at its most, MiB",
}


def measure() -> list[Line]:
    """Medians at each size; the last column compares the largest with the smallest."""
    found: dict[int, dict[str, float]] = {}
    with ground() as here:
        size = 0
        for wanted in SIZES:
            print(f"    {wanted:,} events", file=sys.stderr, flush=True)
            fill_ours(here.append, wanted - size)
            settle(here)
            found[wanted], size = _at(here)
    return [_line(name, [found[size][key] for size in SIZES]) for key, name in NAMES.items()]


def _at(here: Ground) -> tuple[dict[str, float], int]:
    """The figures of a log of this size, and its size afterwards."""
    rounds = asyncio.run(_read(here))
    for each in rounds:
        each["many"], _ = asyncio.run(append.produce(here.append, 6400, 64))
        each["one"], _ = asyncio.run(append.produce(here.append, 300, 1))
        each["batches"] = asyncio.run(append.batches(here.append, 5))
    figures = {name: median(each[name] for each in rounds) for name in rounds[0]}
    figures["memory"] = reading.resident_mib()
    return figures, asyncio.run(_head(here))


async def _read(here: Ground) -> list[dict[str, float]]:
    size = await _head(here)
    views = ViewStore(here.project, (STREAMS,))
    reader = LogReader(here.project)
    try:
        await views.prepare()
        await views.catch_up()
        reading.prepare_by_hand(here.project)
        return [
            {
                "scan": await reading.scanned(reader, size),
                "copy": reading.copied(here.project, size),
                "rebuild": await reading.rebuilt(views, size),
                "by hand": reading.by_hand(here.project, size),
            }
            for _ in range(ROUNDS)
        ]
    finally:
        await reader.close()
        await views.close()


async def _head(here: Ground) -> int:
    reader = LogReader(here.project)
    try:
        return await reader.head()
    finally:
        await reader.close()


def _line(name: str, values: list[float]) -> Line:
    return Line(
        name=name,
        ours=" / ".join(f"{value:,.0f}" for value in values),
        peer=" / ".join(f"{size:,}" for size in SIZES) + " events",
        ratio=f"{values[-1] / values[0]:.2f}",
        goal="-",
        met=None,
    )
