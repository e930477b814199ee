"""The one gate for short-lived commands of the host: argv lists, captured output, a timeout, a typed error."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from agentplane.errors import Broken

_TAIL_LINES: Final = 20
_TAIL_BYTES: Final = 8192


class Completed(msgspec.Struct, frozen=True, kw_only=True):
    """A command that exited 0, or any status when `check` was off."""

    argv: tuple[str, ...]
    status: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        """Standard output without the newline at its end."""
        return self.stdout.decode("utf-8", "replace").rstrip("\n")


def run(
    argv: Sequence[str],
    *,
    timeout_s: float,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
    label: str | None = None,
    code: str = "command.failed",
    hint: str | None = None,
    check: bool = True,
) -> Completed:
    """Run a command to its end. `environment` is added to ours; `label` names it in errors (else its program).

    Raises:
        Broken: with `code`: missing program, timeout, or (when `check`) a status other than 0; the last lines are told.
    """
    name = label or argv[0]
    try:
        done = subprocess.run(
            list(argv),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            env={**os.environ, **(environment or {})},
            cwd=directory,
            check=False,
        )
    except FileNotFoundError as exc:
        raise Broken(f"{argv[0]} is not installed or not on PATH", code=code, hint=hint) from exc
    except subprocess.TimeoutExpired as exc:
        said = last_lines((exc.stderr or b"") + (exc.stdout or b""))
        raise Broken(f"{name} did not end within {timeout_s:g} s\n{said}".rstrip(), code=code, hint=hint) from exc
    if check and done.returncode != 0:
        said = last_lines(done.stderr or done.stdout)
        raise Broken(f"{name} ended with status {done.returncode}\n{said}".rstrip(), code=code, hint=hint)
    return Completed(argv=tuple(argv), status=done.returncode, stdout=done.stdout, stderr=done.stderr)


def last_lines(output: bytes) -> str:
    """The end of a command's output: at most 20 lines, printable."""
    text = output[-_TAIL_BYTES:].decode("utf-8", "replace")
    lines = ["".join(char for char in line if char.isprintable()) for line in text.splitlines()]
    return "\n".join(line for line in lines[-_TAIL_LINES:] if line.strip())
