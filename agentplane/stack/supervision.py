"""Keeping the processes alive: supervisord (PyPI `supervisor`), configured, started, asked and stopped by us.

Every child has a parent-death signal: if supervisord is killed, its children end too, and `stack up` starts clean.
"""

import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault, ServerProxy

from supervisor.xmlrpc import SupervisorTransport

from agentplane.errors import Broken
from agentplane.stack.layout import Layout


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One supervised process."""

    name: str
    argv: tuple[str, ...]
    priority: int
    stop_signal: str = "TERM"
    stop_wait_s: int = 20


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """What supervisord says of a process."""

    name: str
    state: str  # RUNNING, STARTING, BACKOFF, FATAL, STOPPED, EXITED
    pid: int
    description: str


def configuration(layout: Layout, programs: Sequence[Program]) -> str:
    """The text of supervisord.conf."""
    return "\n".join([_HEAD.format(layout=layout), *(_program(layout, program) for program in programs)])


_CONFIGURATION = "supervisord.conf"
_HEAD = """\
[unix_http_server]
file={layout.control_socket}
chmod=0600
[supervisord]
logfile={layout.logs}/supervisord.log
pidfile={layout.supervisor_pid}
directory={layout.root}
nodaemon=false
silent=true
minfds=1024
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""


def _program(layout: Layout, program: Program) -> str:
    command = " ".join(_quote(argument) for argument in program.argv)
    return "\n".join(
        [
            f"[program:{program.name}]",
            f"command={command}",
            f"priority={program.priority}",
            "autostart=true",
            "autorestart=true",
            "startsecs=0",
            "startretries=1000000",
            f"stopsignal={program.stop_signal}",
            f"stopwaitsecs={program.stop_wait_s}",
            "redirect_stderr=true",
            f"stdout_logfile={layout.logs}/{program.name}.log",
            "stdout_logfile_maxbytes=20MB",
            "stdout_logfile_backups=2",
            "",
        ]
    )


def _quote(argument: str) -> str:
    # supervisord splits like a shell and expands %
    return "'" + argument.replace("'", "'\\''").replace("%", "%%") + "'"


def start(layout: Layout, programs: Sequence[Program]) -> None:
    """Start supervisord with these programs. Raises Broken (`stack.supervisor`)."""
    path = layout.config / _CONFIGURATION
    path.write_text(configuration(layout, programs))
    done = subprocess.run(
        [sys.executable, "-m", "supervisor.supervisord", "-c", str(path)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise Broken(
            f"supervisord did not start: {(done.stdout + done.stderr).strip()[-500:]}",
            code="stack.supervisor",
            hint="pip install 'agentplane[stack]'",
        )


def with_parent_death_signal(argv: Sequence[str], number: str) -> tuple[str, ...]:
    """`argv`, told to end when its parent does (setpriv of util-linux)."""
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise Broken("setpriv is not installed", code="stack.setpriv", hint="apt-get install util-linux")
    if argv[0] == "setpriv":
        return (setpriv, f"--pdeathsig={number}", *argv[1:])
    return (setpriv, f"--pdeathsig={number}", "--", *argv)


def pid(layout: Layout) -> int | None:
    """The supervisor's pid if it lives: the number may be anybody's by now, so its configuration must be ours."""
    try:
        number = int(layout.supervisor_pid.read_text())
        command = Path(f"/proc/{number}/cmdline").read_bytes()
    except (OSError, ValueError):
        return None
    return number if str(layout.config / _CONFIGURATION).encode() in command.split(b"\0") else None


@contextmanager
def _server(layout: Layout) -> Iterator[Any]:
    transport: Any = SupervisorTransport(None, None, serverurl=f"unix://{layout.control_socket}")
    try:
        yield ServerProxy("http://127.0.0.1", transport=transport).supervisor
    finally:
        transport.close()


def processes(layout: Layout) -> tuple[ProcessStatus, ...]:
    """Every process's state; empty when the stack is down."""
    if pid(layout) is None:
        return ()
    try:
        with _server(layout) as server:
            rows = server.getAllProcessInfo()
    except (OSError, Fault):
        return ()
    return tuple(ProcessStatus(row["name"], row["statename"], row["pid"], row["description"]) for row in rows)


def add(layout: Layout, programs: Sequence[Program], name: str) -> None:
    """Start one more of these programs beside those that run. Raises Broken (`stack.supervisor`)."""
    (layout.config / _CONFIGURATION).write_text(configuration(layout, programs))
    try:
        with _server(layout) as server:
            server.reloadConfig()
            server.addProcessGroup(name)
    except (OSError, Fault) as exc:
        raise Broken(f"supervisord does not start {name}: {exc}", code="stack.supervisor") from exc


def stop(layout: Layout, *, timeout_s: float = 90) -> bool:
    """Stop everything, in order, and wait for it. False when nothing ran. Raises Broken (`stack.stop`)."""
    number = pid(layout)
    if number is None:
        return False
    handle = os.pidfd_open(number)
    try:
        signal.pidfd_send_signal(handle, signal.SIGTERM)
        ended, _, _ = select.select([handle], [], [], timeout_s)
    finally:
        os.close(handle)
    if not ended:
        raise Broken(f"supervisord (pid {number}) does not end", code="stack.stop", hint=f"kill -9 {number}")
    return True
