import asyncio
import json
import os
from pathlib import Path

from agentplane.bus.memory import MemoryBus
from agentplane.bus.subjects import LOGS, log
from services.executor.console import Console
from services.executor.runstate import RunKey

KEY = RunKey("acme", "demo-1", 1)
SUBJECT = log("exec-1", "acme", "demo-1")
EVENTS = log("exec-1", "acme", "demo-1", "events")


async def published(bus: MemoryBus, subject: str = SUBJECT) -> bytes:
    data, after = b"", 0
    while (stored := await bus.stored(LOGS, subject, after)) is not None:
        after, chunk = stored
        data += chunk
    return data


async def until_published(bus: MemoryBus, wanted: bytes) -> None:
    while wanted not in await published(bus):  # noqa: ASYNC110 - the file is looked at in the background
        await asyncio.sleep(0.001)


async def test_what_a_guest_writes_is_published_while_it_runs(tmp_path: Path) -> None:
    bus = MemoryBus()
    async with Console(bus, "exec-1", 1 << 20).following(KEY, tmp_path, adopted=False):
        with (tmp_path / "console.log").open("wb", buffering=0) as console:
            console.write(b"one\n")
            await until_published(bus, b"one\n")
            console.write(b"two\n")
    assert await published(bus) == b"one\ntwo\n"


async def test_what_a_guest_reports_is_published_as_json_lines(tmp_path: Path) -> None:
    bus = MemoryBus()
    (tmp_path / "events.jsonl").write_bytes(b'{"event":"booted"}\n' * 200)
    async with Console(bus, "exec-1", 1900).following(KEY, tmp_path, adopted=False):
        pass
    lines = (await published(bus, EVENTS)).splitlines()
    assert json.loads(lines[0]) == {"event": "booted"}
    assert "bytes more" in json.loads(lines[-1])["data"]


async def test_a_flood_is_cut_in_the_live_view_and_that_is_said(tmp_path: Path) -> None:
    bus = MemoryBus()
    (tmp_path / "console.log").write_bytes(b"x" * 10_000)
    async with Console(bus, "exec-1", 1000).following(KEY, tmp_path, adopted=False):
        pass
    data = await published(bus)
    assert data.count(b"x") <= 1100
    assert b"bytes more are in the kept file" in data


async def test_after_a_restart_old_output_is_not_repeated_and_the_gap_is_named(tmp_path: Path) -> None:
    bus = MemoryBus()
    console = tmp_path / "console.log"
    console.write_bytes(b"before\n")
    async with Console(bus, "exec-1", 1 << 20).following(KEY, tmp_path, adopted=True):
        with console.open("ab", buffering=0) as file:
            file.write(b"after\n")
    data = await published(bus)
    assert b"before" not in data
    assert b"restarted" in data
    assert data.endswith(b"after\n")


async def test_a_guest_that_says_nothing_and_a_bus_that_is_away_hurt_nobody(tmp_path: Path) -> None:
    bus = MemoryBus()
    bus.faults.down = True
    async with Console(bus, "exec-1", 1000).following(KEY, tmp_path, adopted=False):
        (tmp_path / "console.log").write_bytes(b"unheard")
    bus.faults.down = False
    assert await published(bus) == b""


async def test_a_link_in_the_consoles_place_is_not_followed(tmp_path: Path) -> None:
    bus = MemoryBus()
    (tmp_path / "secret").write_bytes(b"hush")
    (tmp_path / "console.log").symlink_to(tmp_path / "secret")
    async with Console(bus, "exec-1", 1000).following(KEY, tmp_path, adopted=False):
        pass
    assert b"hush" not in await published(bus)


async def test_a_console_that_is_a_pipe_or_a_link_is_not_waited_for_nor_shown(tmp_path: Path) -> None:
    bus = MemoryBus()
    (tmp_path / "key").write_text("private")
    (tmp_path / "events.jsonl").symlink_to(tmp_path / "key")
    os.mkfifo(tmp_path / "console.log")
    async with Console(bus, "exec-1", 1 << 20).following(KEY, tmp_path, adopted=True):
        pass
    assert b"private" not in await published(bus) + await published(bus, EVENTS)
