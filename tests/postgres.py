"""A real PostgreSQL for tests: one cluster per session, one fresh migrated database per test."""

import asyncio
import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from agentplane.store.migrate import migrate
from agentplane.store.roles import OWNER, ROLES, bootstrap

SUPERUSER = "postgres"
TEMPLATE = "agentplane_template"
PASSWORDS = {role: f"test-{role}-password" for role in (SUPERUSER, *ROLES)}


class PostgresCluster:
    """A cluster in its own directory, on a free port, run by a user that is not root."""

    def __init__(self, *, fsync: bool = False) -> None:
        # without fsync a killed server still loses nothing: the kernel has the pages; only a power cut would differ
        self.user = _unprivileged()
        self.root = Path(tempfile.mkdtemp(prefix="agentplane-pg-"))
        self.data = self.root / "data"
        self.port = _free_port()
        if self.user is not None:
            os.chown(self.root, self.user.pw_uid, self.user.pw_gid)
        self._initdb(fsync=fsync)

    def conninfo(self, role: str, dbname: str) -> str:
        return make_conninfo(host=str(self.root), port=self.port, user=role, dbname=dbname, password=PASSWORDS[role])

    def superuser(self, dbname: str = "postgres") -> psycopg.Connection[tuple[Any, ...]]:
        return psycopg.connect(self.conninfo(SUPERUSER, dbname), autocommit=True)

    def start(self) -> Self:
        """Start and wait until it takes connections; after a kill, once the last old backend has gone."""
        for attempt in range(20):
            done = self._pg_ctl("-w", "-t", "30", "-l", str(self.root / "log"), "start", check=attempt == 19)
            if done.returncode == 0:
                return self
        raise AssertionError("unreachable")

    def stop(self) -> None:
        self._pg_ctl("-m", "immediate", "-w", "stop", check=False)

    def kill(self) -> None:
        """SIGKILL the server and all its backends, as a crash would."""
        postmaster = int((self.data / "postmaster.pid").read_text().splitlines()[0])
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        for pid in (postmaster, *map(int, children)):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.root, ignore_errors=True)

    def _initdb(self, *, fsync: bool) -> None:
        words = self.root / "words"
        words.write_text(PASSWORDS[SUPERUSER] + "\n")
        if self.user is not None:
            os.chown(words, self.user.pw_uid, self.user.pw_gid)
        options = ["--no-sync", "-E", "UTF8", "--locale=C.UTF-8", "-A", "scram-sha-256", f"--pwfile={words}"]
        self._run("initdb", "-D", str(self.data), "-U", SUPERUSER, *options)
        settings = {
            "listen_addresses": "'127.0.0.1'",
            "port": str(self.port),
            "unix_socket_directories": f"'{self.root}'",
            "fsync": "on" if fsync else "off",
            "max_connections": "120",
            "shared_buffers": "'64MB'",
        }
        with (self.data / "postgresql.conf").open("a") as conf:
            conf.writelines(f"{name} = {value}\n" for name, value in settings.items())

    def _pg_ctl(self, *arguments: str, check: bool) -> subprocess.CompletedProcess[bytes]:
        return self._run("pg_ctl", "-D", str(self.data), *arguments, check=check)

    def _run(self, program: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[bytes]:
        user = {} if self.user is None else {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []}
        with (self.root / f"{program}.out").open("ab") as output:
            done: subprocess.CompletedProcess[bytes] = subprocess.run(
                [_binary(program), *arguments],
                cwd=self.root,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
                **user,  # type: ignore[call-overload]
            )
        if check and done.returncode != 0:
            pytest.fail(f"{program} failed:\n" + "\n".join(p.read_text() for p in self.root.glob("*.out")))
        return done


class Database:
    """A migrated database of its own for one test."""

    def __init__(self, cluster: PostgresCluster, name: str) -> None:
        self.cluster = cluster
        self.name = name

    def conninfo(self, role: str) -> str:
        """As one of `agentplane.store.roles.ROLES`, or `postgres`."""
        return self.cluster.conninfo(role, self.name)


def prepare(cluster: PostgresCluster, database: str = TEMPLATE) -> None:
    """Create the roles and a migrated database."""
    run_alone(bootstrap(cluster.conninfo(SUPERUSER, "postgres"), database=database, passwords=PASSWORDS))
    run_alone(migrate(cluster.conninfo(OWNER, database)))


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[PostgresCluster]:
    """A running cluster with agentplane's roles; `.conninfo(role, dbname)`."""
    cluster = PostgresCluster()
    try:
        prepare(cluster.start())
        yield cluster
    finally:
        cluster.remove()


_numbers = itertools.count()


@contextmanager
def fresh_database(cluster: PostgresCluster) -> Iterator[Database]:
    """A migrated database that is dropped afterwards; a copy of the template costs a fraction of a migration."""
    name = f"test_{next(_numbers)}"
    with cluster.superuser() as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} OWNER {OWNER}")
    yield Database(cluster, name)
    with cluster.superuser() as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database(postgres_cluster: PostgresCluster) -> Iterator[Database]:
    """A fresh migrated database; `.conninfo(role)`, `.name`, `.cluster`."""
    with fresh_database(postgres_cluster) as fresh:
        yield fresh


def run_alone(work: Coroutine[Any, Any, object]) -> None:
    """On a thread of its own: a test's event loop may be around."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, work).result()


def _unprivileged() -> pwd.struct_passwd | None:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    return names.get("postgres") or names["nobody"]


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _binary(program: str) -> str:
    on_path = shutil.which(program)
    if on_path:
        return on_path
    installed = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"), key=lambda p: int(p.parts[4]))
    if not installed:
        pytest.fail(f"{program} is not installed (Debian: postgresql)")
    return str(installed[-1])
