"""A shim that waits for something to supervise: its interpreter and imports, started while a guest is still hashed.

For executors whose shims are their own children (`runners.launch`); systemd starts those of guest units. A spare shim
knows nothing, has touched nothing, and goes when its standard input ends: so it never outlives its executor.
"""

import os
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

from agentplane.runners.shim import __main__ as shim_main
from agentplane.runners.shim import cgroups

_SHIM: Final = str(Path(shim_main.__file__))


class Spare:
    """At most one waiting shim. Any thread may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: subprocess.Popen[bytes] | None = None
        self._closed = False

    def warm(self) -> None:
        """Have one waiting, if that can be: where shims need a scope of their own, each is started with its run."""
        if cgroups.scope_prefix("spare"):
            return
        with self._lock, suppress(OSError):
            if self._closed:
                return
            if self._waiting is None or self._waiting.poll() is not None:
                self._discard()
                self._waiting = spawn([])

    def take(self) -> "subprocess.Popen[bytes] | None":
        """The waiting shim, which is the caller's from now on; None: there is none."""
        with self._lock:
            if self._waiting is not None and self._waiting.poll() is None:
                taken, self._waiting = self._waiting, None
                return taken
            return None

    def close(self) -> None:
        """Let the waiting one go, and have none any more: a thread may still be preparing."""
        with self._lock:
            self._closed = True
            self._discard()

    def _discard(self) -> None:
        if self._waiting is not None:
            for end in (self._waiting.stdin, self._waiting.stdout):
                if end is not None:
                    end.close()
            with suppress(ProcessLookupError):
                self._waiting.kill()
            self._waiting.wait()
            self._waiting = None


def spawn(
    arguments: list[str], *, before: list[str] | None = None, log: IO[bytes] | None = None
) -> "subprocess.Popen[bytes]":
    """A shim with pipes to and from us, in a session of its own. `log`: its standard error; None: ours."""
    return subprocess.Popen(
        [*(before or ()), sys.executable, "-I", "-S", _SHIM, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        cwd="/",
        env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"},
        start_new_session=True,
    )
