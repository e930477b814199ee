"""A PostgreSQL cluster of our own: system binaries, an unprivileged user, SCRAM only, own socket, fsync on."""

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from agentplane.errors import Broken

SETTINGS = """\
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = '{socket}'
unix_socket_permissions = 0700
password_encryption = 'scram-sha-256'
fsync = on
full_page_writes = on
synchronous_commit = on
shared_buffers = '64MB'
max_connections = 50
log_destination = 'stderr'
logging_collector = off
"""
HBA = """\
# only passwords, only SCRAM; the bootstrap role may not come over TCP
local all postgres scram-sha-256
local replication postgres scram-sha-256
host all postgres 127.0.0.1/32 reject
host all all 127.0.0.1/32 scram-sha-256
local all all scram-sha-256
"""


def binaries() -> Path:
    """The directory that has `postgres` and `initdb`: on PATH, else Debian's newest. Raises Broken."""
    if found := shutil.which("postgres"):
        return Path(found).resolve().parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if not versions:
        raise Broken("PostgreSQL is not installed", code="postgres.missing", hint="apt-get install postgresql")
    return versions[-1].parent


def account() -> pwd.struct_passwd:
    """The user the cluster runs as: ourselves, or `postgres` when we are root (PostgreSQL refuses root)."""
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid())
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        raise Broken(
            "PostgreSQL does not run as root and there is no user 'postgres'",
            code="postgres.account",
            hint="apt-get install postgresql, or useradd --system postgres",
        ) from None


def as_account(argv: Sequence[str]) -> list[str]:
    """`argv`, run as the cluster's user."""
    user = account()
    if os.geteuid() == user.pw_uid:
        return list(argv)
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "--", *argv]


def initialise(directory: Path, port: int, passfile: Path) -> None:
    """Create the cluster unless it is there; write its configuration in any case.

    `passfile`: gets the bootstrap superuser's password (0600), which is nowhere else.

    Raises:
        Broken: `postgres.initdb`, `postgres.unreachable-directory`, `postgres.version`.
    """
    data, sockets, user = directory / "data", directory / "socket", account()
    directory.mkdir(mode=0o700, exist_ok=True)
    sockets.mkdir(mode=0o700, exist_ok=True)
    for each in (directory, sockets):
        os.chown(each, user.pw_uid, user.pw_gid)
    _require_reachable(directory)
    if not (data / "PG_VERSION").exists():
        shutil.rmtree(data, ignore_errors=True)  # what a killed initdb left
        _initdb(data, port, passfile)
    require_same_major((data / "PG_VERSION").read_text().strip(), binaries())
    (data / "postgresql.auto.conf").write_text(SETTINGS.format(port=port, socket=sockets))
    (data / "pg_hba.conf").write_text(HBA)


def require_same_major(made_by: str, installed: Path) -> None:
    """Raises Broken (`postgres.version`): the cluster's files are of another major than the programs."""
    argv = [str(installed / "postgres"), "--version"]
    words = subprocess.run(argv, capture_output=True, text=True, check=False).stdout
    if f") {made_by}." in words or f") {made_by}b" in words or f") {made_by}r" in words:  # 15.14, 17beta1, 17rc1
        return
    raise Broken(
        f"the database is PostgreSQL {made_by}'s, and {installed} has {words.strip() or 'none'}",
        code="postgres.version",
        hint=f"put PostgreSQL {made_by} first on PATH, or convert the files: docs/operations.md tells how",
    )


def _require_reachable(directory: Path) -> None:
    if subprocess.run(as_account(["test", "-w", str(directory)]), check=False).returncode != 0:
        raise Broken(
            f"user {account().pw_name!r}, which PostgreSQL runs as, cannot reach {directory}",
            code="postgres.unreachable-directory",
            hint="choose a --state-dir outside of private directories, such as /var/lib/agentplane",
        )


def _initdb(data: Path, port: int, passfile: Path) -> None:
    password, user = secrets.token_hex(24), account()
    # a file, since the server's user may not open our pipe; it is gone before the server runs
    with tempfile.NamedTemporaryFile(dir=data.parent) as words:
        words.write(password.encode() + b"\n")
        words.flush()
        os.fchown(words.fileno(), user.pw_uid, user.pw_gid)
        argv = [str(binaries() / "initdb"), "-D", str(data), "-U", "postgres", "--auth=scram-sha-256", "-E", "UTF8"]
        argv += ["--locale=C.UTF-8", f"--pwfile={words.name}"]
        done = subprocess.run(as_account(argv), capture_output=True, text=True, cwd=data.parent, check=False)
    if done.returncode != 0:
        raise Broken(f"initdb failed: {done.stderr.strip()[-500:]}", code="postgres.initdb")
    write_passfile(passfile, port, "postgres", password)


def write_passfile(path: Path, port: int, role: str, password: str) -> None:
    """A libpq password file (0600) for one role."""
    path.touch(mode=0o600)
    path.write_text(f"*:{port}:*:{role}:{password}\n")


def read_password(path: Path) -> str:
    """The password in a file of `write_passfile`."""
    return path.read_text().strip().rsplit(":", 1)[1]
