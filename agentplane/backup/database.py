"""PostgreSQL's part: a base backup of the running cluster, and bringing one back behind a door that only we can use."""

import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from agentplane.backup.unpack import unpack_archive
from agentplane.errors import Broken, Transient
from agentplane.stack.postgres import account, as_account, binaries
from agentplane.stack.ready import patiently
from agentplane.store.connection import translated

BASE, WAL, MANIFEST = "base.tar.gz", "pg_wal.tar.gz", "backup_manifest"


def major() -> int:
    """The major version of the installed PostgreSQL."""
    words = _run([str(binaries() / "postgres"), "--version"]).stdout  # postgres (PostgreSQL) 15.14 (Debian …), 17beta1
    found = re.search(r"\) (\d+)", words)
    if found is None:
        raise Broken(f"cannot tell the version from {words.strip()!r}", code="backup.postgres")
    return int(found[1])


def base_backup(socket: Path, port: int, passfile: Path | None, target: Path) -> None:
    """Copy the running cluster with the WAL that makes it consistent (pg_basebackup, tar, gzip).

    `passfile`: libpq's; None where the socket trusts our account.

    Raises:
        Broken: `backup.postgres`.
    """
    argv = [str(binaries() / "pg_basebackup"), f"--host={socket}", f"--port={port}", "--username=postgres"]
    argv += [f"--pgdata={target}", "--format=tar", "--gzip", "--wal-method=stream", "--checkpoint=fast"]
    argv += ["--no-password", "--label=agentplane"]
    _run(argv, env={**os.environ, **({"PGPASSFILE": str(passfile)} if passfile else {})})


def unpack(source: Path, data: Path) -> None:
    """Make a data directory of a base backup and let pg_verifybackup look at every file of it.

    Raises:
        Tampered: `backup.damaged`. Broken: `backup.postgres`: it cannot be written.
    """
    data.mkdir(mode=0o700)
    for name, target in ((BASE, data), (WAL, data / "pg_wal")):
        unpack_archive(source / name, target)
    shutil.copyfile(source / MANIFEST, data / MANIFEST)
    own(data)
    verify = [str(binaries() / "pg_verifybackup"), "--quiet", "--exit-on-error", str(data)]
    _run(as_account(verify), cwd=data)


def own(directory: Path) -> None:
    """Give a directory and all in it to the database's user; files 0600, directories 0700."""
    _own((directory, *directory.rglob("*")))


def make_home(directory: Path) -> Path:
    """The directory of a cluster, the database's user's; answers where its data goes."""
    directory.mkdir()
    _own((directory,))
    return directory / "data"


def _own(paths: Iterable[Path]) -> None:
    user = account()
    for path in paths:
        os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)
        path.chmod(0o700 if path.is_dir() else 0o600)


@contextmanager
def private_server(data: Path) -> Iterator[str]:
    """Run the cluster where only this process's user reaches it, as its superuser; yields a connection string.

    No TCP, a socket in a directory of its own, peer authentication: the passwords of the restored roles are not needed.

    Raises:
        Broken, Transient: it does not start.
    """
    user = account()
    door = Path(tempfile.mkdtemp(prefix="agentplane-restore-"))
    (door / "hba").write_text("local all postgres peer map=restore\n")
    (door / "ident").write_text(f"restore {pwd.getpwuid(os.geteuid()).pw_name} postgres\n")
    (door / "conf").touch()  # Debian keeps the cluster's own outside of the data directory, where a backup has none
    for path in (door, door / "hba", door / "ident", door / "conf"):
        os.chown(path, user.pw_uid, user.pw_gid)
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": str(door),
        "config_file": str(door / "conf"),
        "hba_file": str(door / "hba"),
        "ident_file": str(door / "ident"),
        "port": "5432",
        "logging_collector": "off",
    }
    argv = [str(binaries() / "postgres"), "-D", str(data)]
    for name, value in settings.items():
        argv += ["-c", f"{name}={value}"]
    try:
        with (door / "log").open("wb") as log:
            server = subprocess.Popen(as_account(argv), stdout=log, stderr=log, cwd=data)
            try:
                conninfo = f"host={door} port=5432 user=postgres"
                patiently(lambda: _knock(server, conninfo, door / "log"))
                yield conninfo
            finally:
                server.send_signal(signal.SIGINT)
                server.wait()
    finally:
        shutil.rmtree(door, ignore_errors=True)


def set_password(conninfo: str, role: str, password: str) -> None:
    """Give a role a new password; the server gets its SCRAM verifier only."""
    with translated(), psycopg.connect(conninfo, dbname="postgres") as connection:
        verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
        words = sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(verifier))
        connection.execute(words)


def _knock(server: "subprocess.Popen[bytes]", conninfo: str, log: Path) -> None:
    if server.poll() is not None:
        words = log.read_text(errors="replace")[-500:]
        raise Broken(f"the restored database does not start: {words}", code="backup.postgres")
    try:
        with psycopg.connect(conninfo, dbname="postgres", connect_timeout=5):
            return
    except psycopg.OperationalError as exc:
        raise Transient(f"the restored database does not answer: {exc}", code="backup.postgres-slow") from exc


def _run(
    argv: Sequence[str], *, env: dict[str, str] | None = None, cwd: Path | None = None
) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env=env, cwd=cwd)
    if done.returncode != 0:
        words = done.stderr.strip()[-500:]
        hint = "restart the stack once: its access rules are older than this program" if "pg_hba" in words else None
        raise Broken(f"{Path(argv[0]).name} failed: {words}", code="backup.postgres", hint=hint)
    return done
