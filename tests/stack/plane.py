"""A running stack as these tests see it: its command line, its log in PostgreSQL, its processes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import psycopg

from agentplane.stack import provision, supervision
from agentplane.stack.layout import Layout
from agentplane.stack.ports import load_ports
from agentplane.store import roles
from tests.stack.processes import descendants

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 90.0
PERIOD_S = 0.05
COMMAND = (sys.executable, "-c", "import sys; from agentplane.cli.main import main; sys.exit(main())")
EXECUTOR = provision.EXECUTOR
DAEMONS = ("postgres", "nats", "control", "projector", "executor")

Data = dict[str, Any]
T = TypeVar("T")


def awaited(question: Callable[[], T | None], what: str) -> T:
    """The answer, as soon as there is one: what is asked has no event, or its bearer may just have been killed."""
    deadline = time.monotonic() + PATIENCE_S
    while (answer := question()) is None:
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(PERIOD_S)
    return answer


class Plane:
    """One stack in one state directory."""

    def __init__(self, root: Path) -> None:
        self.layout = Layout(root)

    def call(self, *arguments: str | Path, status: int | None = 0) -> subprocess.CompletedProcess[str]:
        """One command, and the exit status it must have (None: any)."""
        environment = {**os.environ, "AGENTPLANE_STATE_DIR": str(self.layout.root)}
        argv = [*COMMAND, *map(str, arguments)]
        done = subprocess.run(argv, capture_output=True, text=True, env=environment, cwd=ROOT, timeout=240, check=False)
        assert "Traceback" not in done.stderr, done.stderr
        assert status is None or done.returncode == status, f"{arguments}: {done.returncode}\n{done.stderr}"
        return done

    def submit(self, *arguments: str | Path) -> str:
        """Hand a bundle in; the run's name."""
        return self.call("run", *arguments).stdout.strip()

    # --- the log ---

    def conninfo(self, role: str) -> str:
        ports = load_ports(self.layout.ports)
        assert ports is not None
        return provision.conninfo(self.layout, ports["postgres"], role)

    def events(self, name: str, kind: str = "Run") -> list[tuple[str, Data]]:
        """Type and data of everything about one resource, in order."""
        query = "SELECT type, data FROM log.events WHERE kind = %s AND name = %s ORDER BY sequence"
        with psycopg.connect(self.conninfo(roles.PROJECT)) as connection:
            return [(row[0], json.loads(bytes(row[1]))) for row in connection.execute(query, [kind, name])]

    def of_type(self, name: str, type_: str) -> list[Data]:
        return [data for each, data in self.events(name) if each == type_]

    def until(self, name: str, type_: str, **wanted: Any) -> Data:
        """The first event of a type whose data has these values."""

        def look() -> Data | None:
            try:
                found = self.of_type(name, type_)
            except psycopg.OperationalError:
                return None  # the server was killed and comes back
            return next((data for data in found if wanted.items() <= data.items()), None)

        return awaited(look, f"{type_} {wanted} of {name}")

    def sealed(self, name: str) -> Data:
        """The end of a run, once all the evidence of its last attempt is committed."""
        finished = self.until(name, "run.finished")
        self.until(name, "run.evidence", kind="RunSeal", epoch=finished["epoch"])
        return finished

    def view(self, name: str, state: str) -> Data:
        """The read model of a run, once it says so."""

        def look() -> Data | None:
            answer = self.call("get", "run", name, "-o", "json", status=None)
            found: Data = json.loads(answer.stdout) if answer.returncode == 0 else {}
            return found if found.get("state") == state else None

        return awaited(look, f"{name} to be {state}")

    # --- processes ---

    def pid(self, daemon: str) -> int | None:
        found = {each.name: each.pid for each in supervision.processes(self.layout) if each.state == "RUNNING"}
        return found.get(daemon) or None

    def kill(self, daemon: str) -> None:
        """kill -9, and return when another process has its place."""
        before = self.pid(daemon)
        assert before is not None
        os.kill(before, signal.SIGKILL)

        def successor() -> int | None:
            now = self.pid(daemon)
            return now if now != before else None

        awaited(successor, f"a new {daemon}")

    @contextmanager
    def configured(self, **changes: Any) -> Iterator[None]:
        """Control with another configuration, for a while."""
        path = self.layout.config / "control.json"
        before = path.read_text()
        self.reconfigure(**changes)
        yield
        path.write_text(before)
        self.kill("control")
        self.call("stack", "up")

    def reconfigure(self, **changes: Any) -> None:
        path = self.layout.config / "control.json"
        provision.write_json(path, {**json.loads(path.read_text()), **changes})
        self.kill("control")
        self.call("stack", "up")

    def launched(self, run: str, epoch: int = 1, state_dir: Path | None = None) -> Data:
        """What the shim of a run wrote when its program had started."""
        launch = (state_dir or self.layout.executor) / f"runs/{provision.TENANT}/{run}/{epoch}/shim/launch-1"

        def look() -> Data | None:
            try:
                document: Data = json.loads((launch / "launched.json").read_text())
            except (OSError, ValueError):
                return None
            return document

        return awaited(look, f"the program of {run}")

    def sleeper(self, run: str, epoch: int = 1, state_dir: Path | None = None) -> int:
        """The process that a gated workload waits for, once it waits."""
        program = self.launched(run, epoch, state_dir)["program_pid"]

        def look() -> int | None:
            return next((pid for pid, name in descendants(program) if name == "sleep"), None)

        return awaited(look, f"the workload of {run}")

    def held(self, run: str) -> int:
        """Return when a gated run runs and its start is committed."""
        sleeper = self.sleeper(run)
        self.until(run, "run.started")
        return sleeper

    # --- judgement ---

    def verify(self, run: str, target: Path) -> None:
        """Export the evidence, and judge it with public keys only."""
        self.call("evidence", "export", run, "--to", target)
        self.call("evidence", "verify", target, "--keys", self.layout.trusted_keys)

    def once_per_epoch(self, run: str) -> list[int]:
        """The epochs that were started, each exactly once; only the last one is the run's end."""
        started = [data["epoch"] for data in self.of_type(run, "run.started")]
        assert started == sorted(set(started))
        assert [data["epoch"] for data in self.of_type(run, "run.finished")] == started[-1:]
        return started
