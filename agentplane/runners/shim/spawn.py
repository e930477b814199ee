"""Starts the program of one run: its descriptors, its control group, its unprivileged user. Standard library only.

The child is forked, not spawned by a helper: it joins the group and gives up its privileges before it becomes the
program, and asks the kernel to be killed with the shim (PR_SET_PDEATHSIG), so that nothing ever lingers unattended.
"""

import contextlib
import fcntl
import os
import resource
import signal
import socket
from typing import Final, NamedTuple

from agentplane.runners.shim import cgroups
from agentplane.runners.shim.contract import Channel, Launch, Users
from agentplane.runners.shim.state import try_lock

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_SET_NO_NEW_PRIVS: Final = 38
_FIRST_FREE_FD: Final = 100  # above every number that a launch may ask for
_OOM_SCORE: Final = "500"  # when the whole host runs out of memory, a guest goes before a daemon
_CANNOT_START: Final = 127


class Program(NamedTuple):
    """The running program, as its shim holds it."""

    pid: int
    pidfd: int
    ends: dict[str, int]  # channel -> our end
    uid: int
    group: cgroups.Group


def spawn(launch: Launch, secrets: list[bytes], directory: str) -> Program:
    """Start the program. Raises OSError, with a sentence as strerror, when it does not start."""
    given: dict[int, int] = {}
    uid = _take_user(launch["users"])
    ends = {channel["name"]: _open_channel(channel, given) for channel in launch["channels"]}
    for key, text in launch["files"].items():
        given[int(key)] = _memory_file("config", text.encode())
    for (name, number), value in zip(launch["secrets"], secrets, strict=True):
        given[number] = _memory_file(name, value)
    if launch["scratch"] is not None:
        number, size = launch["scratch"]
        given[number] = _scratch(directory, size, uid)
    group = _group(launch)
    pid, pidfd = _fork(launch, given, uid, group)
    for fd in given.values():
        with contextlib.suppress(OSError):
            os.close(fd)  # one end may be inherited under several numbers
    return Program(pid, pidfd, ends, uid, group)


def _open_channel(channel: Channel, given: dict[int, int]) -> int:
    if channel["pipe"]:
        ours, theirs = os.pipe()
    else:
        pair = socket.socketpair()
        ours, theirs = pair[0].detach(), pair[1].detach()
    theirs = _move_up(theirs)
    given.update(dict.fromkeys(channel["fds"], theirs))
    os.set_blocking(ours, False)
    return ours


def _memory_file(name: str, data: bytes) -> int:
    """Bytes as a sealed file in memory, readable through /proc/self/fd by whoever inherits it."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with open(os.dup(fd), "wb") as target:
        target.write(data)
    os.lseek(fd, 0, os.SEEK_SET)  # a program may read its descriptor instead of reopening it
    seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return _move_up(fd)


def _scratch(directory: str, size: int, uid: int) -> int:
    """A sparse disk without a name: it is gone when its last holder is. Its user may reopen it by descriptor."""
    fd = os.open(directory, os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC, 0o600)
    os.ftruncate(fd, size)
    if uid != os.getuid():  # a guest unit has no chown
        os.fchown(fd, uid, -1)
    return _move_up(fd)


def _move_up(fd: int) -> int:
    moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE_FD)
    os.close(fd)
    return moved


def _take_user(users: Users | None) -> int:
    """A user that no other running program has: its lock lasts as long as the shim."""
    if users is None:
        return os.getuid()
    os.makedirs(users["slots"], mode=0o700, exist_ok=True)
    for uid in range(users["first"], users["first"] + users["count"]):
        if try_lock(os.path.join(users["slots"], str(uid))) is not None:
            return uid
    raise OSError(None, f"all {users['count']} unprivileged users from {users['first']} on are taken")


def _group(launch: Launch) -> cgroups.Group:
    limits = launch["limits"]
    if limits is None:
        return cgroups.NO_GROUP
    return cgroups.create(limits["group"], limits["memory_bytes"], limits["cpu_percent"], limits["pids"])


def _fork(launch: Launch, given: dict[int, int], uid: int, group: cgroups.Group) -> tuple[int, int]:
    reading, writing = os.pipe()
    writing = _move_up(writing)
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            _become(launch, given, uid, group, parent)
        except BaseException as exc:  # noqa: BLE001 - nothing may return into the shim's own code
            os.write(writing, f"{launch['argv'][0]} does not start: {exc}".encode())
        os._exit(_CANNOT_START)
    os.close(writing)
    pidfd = os.pidfd_open(pid)
    with open(reading, "rb") as failure:
        reason = failure.read().decode(errors="replace")
    if reason:
        os.waitpid(pid, 0)
        cgroups.destroy(group)
        raise OSError(None, reason)
    return pid, pidfd


def _become(launch: Launch, given: dict[int, int], uid: int, group: cgroups.Group, parent: int) -> None:
    """In the child: everything in the order in which it is still allowed."""
    import ctypes  # noqa: PLC0415 - only the child needs it, and only before it is somebody else can it read it

    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)  # a shim in a guest unit is not; its child has to reach its own /proc
    os.setsid()
    cgroups.join(group)
    with open("/proc/self/oom_score_adj", "w", encoding="ascii") as score:
        score.write(_OOM_SCORE)
    os.dup2(os.open("/dev/null", os.O_RDWR), 0)
    for number, fd in given.items():
        os.dup2(fd, number)
    for name in os.listdir("/proc/self/fd"):
        if int(name) not in given and int(name) > 2:  # noqa: PLR2004 - the standard streams stay
            with contextlib.suppress(OSError):  # the listing's own is gone by now
                fcntl.fcntl(int(name), fcntl.F_SETFD, fcntl.FD_CLOEXEC)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    users = launch["users"]
    if users is not None:
        os.setgroups(users["groups"])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    for option, value in ((_PR_SET_PDEATHSIG, int(signal.SIGKILL)), (_PR_SET_NO_NEW_PRIVS, 1)):
        if libc.prctl(option, value, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != parent:
        raise OSError(None, "the shim is gone")
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    os.chdir("/")
    os.umask(0o077)
    os.execve(launch["argv"][0], launch["argv"], launch["environment"])
