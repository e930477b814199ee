"""As whom Nix's builders run, and what they reach: not as the store's owner, and no network.

Where Nix has no daemon and no build users, its builders run as root inside their sandbox: they own the store paths
they are given and can change them, and so poison what every later guest is made of. A bundle can bring a builder.
So root's builds get users of their own, visible only to Nix: passwd and group with their names are bound over the
host's in a mount namespace that lasts as long as the build. The host itself is not changed.
"""

import grp
import os
from pathlib import Path
from typing import Final

import msgspec

from agentplane.errors import Broken

_DAEMON_SOCKET: Final = Path("/nix/var/nix/daemon-socket/socket")
_STORE: Final = Path("/nix/store")
_GROUP: Final = "agentplane-build"
_FIRST_UID: Final = 69_900  # below those of runs, see runners.host; one builder at a time has one
_USERS: Final = 8
_BIND: Final = 'mount --bind "$1" /etc/passwd && mount --bind "$2" /etc/group && shift 2 && exec "$@"'


class Builders(msgspec.Struct, frozen=True, kw_only=True):
    """How to call a command of Nix that builds: words before it, lines of its configuration."""

    prefix: tuple[str, ...]
    configuration: tuple[str, ...]


def has_daemon() -> bool:
    """Whether a daemon of Nix builds here. One that is closed to us counts: what Nix then says names the remedy."""
    try:
        return _DAEMON_SOCKET.exists()
    except PermissionError:
        return True


def builders(state_dir: Path, *, network: bool) -> Builders:
    """Builders for this host. `network`: whether a build may need one (substituters of nixpkgs).

    Raises Broken: code `host.nix-daemon`: there is none, and the store is not ours to write.
    """
    if has_daemon():
        return Builders(prefix=(), configuration=())
    single = ("sandbox = true", "sandbox-fallback = false")
    if os.geteuid() != 0:
        _check_store()
        return Builders(prefix=(), configuration=single)
    unshare = ("unshare", *(() if network else ("--net",)))
    if _has_members("nixbld"):
        return Builders(prefix=(*unshare, "--"), configuration=(*single, "build-users-group = nixbld"))
    passwd, group = _accounts(state_dir / "builders")
    return Builders(
        prefix=(*unshare, "--mount", "--", "sh", "-c", _BIND, "sh", str(passwd), str(group)),
        configuration=(*single, f"build-users-group = {_GROUP}"),
    )


def _check_store() -> None:
    """What Nix would only say as a file that it cannot make."""
    there = next(path for path in (_STORE, *_STORE.parents) if path.exists())
    if not os.access(there, os.W_OK):
        raise Broken(
            "Nix has no daemon here, and its store is not this user's",
            code="host.nix-daemon",
            where=str(_STORE),
            hint="systemctl enable --now nix-daemon.socket (Debian: the package nix-setup-systemd)",
        )


def _has_members(group: str) -> bool:
    try:
        return bool(grp.getgrnam(group).gr_mem)
    except KeyError:
        return False


def _accounts(directory: Path) -> tuple[Path, Path]:
    """The host's accounts and ours beside them. Nix asks for names only; nobody can log in."""
    names = [f"{_GROUP}-{index}" for index in range(1, _USERS + 1)]
    users = [
        f"{name}:x:{_FIRST_UID + index}:{_FIRST_UID}:agentplane builder:/var/empty:/usr/sbin/nologin\n"
        for index, name in enumerate(names, start=1)
    ]
    directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    passwd = _written(directory / "passwd", Path("/etc/passwd").read_text() + "".join(users))
    group = _written(
        directory / "group", Path("/etc/group").read_text() + f"{_GROUP}:x:{_FIRST_UID}:{','.join(names)}\n"
    )
    return passwd, group


def _written(path: Path, text: str) -> Path:
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_text(text)
    temporary.chmod(0o644)
    temporary.rename(path)
    return path
