"""A follower with a cursor, and an importer, while everything under them is killed in turn: nothing is missed."""

import json
import subprocess
import uuid
from pathlib import Path

import pytest

from tests.stack.plane import COMMAND, DAEMONS, ROOT, Plane, awaited
from tests.stack.test_import import counts, unique, write

pytestmark = pytest.mark.stack


class Follower:
    """`tail --follow --cursor`, killed and started again; a file for the lines of each life."""

    def __init__(self, plane: Plane, directory: Path) -> None:
        self._directory = directory
        self._lives = 0
        self.cursor = directory / "cursor"
        self.cursor.write_text("0\n")
        options = ("events", "tail", "--follow", "--cursor", str(self.cursor), "-o", "jsonl")
        self._argv = [*COMMAND, "--state-dir", str(plane.layout.root), *options]
        self.start()

    def start(self) -> None:
        self._lives += 1
        with self._output(self._lives).open("wb") as file:
            self._process = subprocess.Popen(self._argv, stdout=file, stderr=subprocess.DEVNULL, cwd=ROOT)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def _output(self, life: int) -> Path:
        return self._directory / f"followed-{life}.jsonl"

    def sequences(self) -> list[int]:
        """Of all whole lines, in the order in which they were printed."""
        found: list[int] = []
        for life in range(1, self._lives + 1):
            data = self._output(life).read_bytes()
            whole = data[: data.rfind(b"\n") + 1].splitlines()
            found.extend(int(json.loads(line)["sequence"]) for line in whole)
        return found


def test_killed_in_turn_nothing_is_missed_and_an_import_repeated_is_one(plane: Plane, tmp_path: Path) -> None:
    follower = Follower(plane, tmp_path)
    wanted: set[str] = set()
    try:
        for daemon in DAEMONS:
            lines = unique(30)
            path = write(tmp_path / f"{uuid.uuid4().hex}.jsonl", lines)
            importing = subprocess.Popen(
                [*COMMAND, "--state-dir", str(plane.layout.root), "events", "import", str(path)],
                cwd=ROOT,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            plane.kill(daemon)
            follower.kill()
            importing.wait(120)
            follower.start()

            def again(path: Path = path) -> bool | None:
                answer = plane.call("events", "import", path, "-o", "json", status=None)
                return (answer.returncode == 0 and counts(json.loads(answer.stdout))[2:] == (0, 0)) or None

            awaited(again, f"the import after {daemon} was killed")
            wanted |= {line["event_id"] for line in lines}
        exported = [json.loads(line) for line in plane.call("events", "export").stdout.splitlines()]
        theirs = [each["data"]["original_id"] for each in exported if each["data"].get("original_id") in wanted]
        assert sorted(theirs) == sorted(wanted)  # each once
        sequences = [int(each["sequence"]) for each in exported]
        awaited(lambda: set(sequences) <= set(follower.sequences()) or None, "the follower")
    finally:
        follower.kill()
    seen = follower.sequences()
    first_seen = list(dict.fromkeys(seen))
    assert first_seen == sorted(first_seen)
    assert set(sequences) <= set(first_seen)
