"""How far the mirror has come: one small file, replaced in one durable step when all it speaks of is on disk."""

import os
from pathlib import Path
from typing import Final

import msgspec

from agentplane.durable import fsync_directory
from agentplane.mirror.lines import Form

NAME: Final = ".position.json"
MODE: Final = 0o600


class Position(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything up to `sequence` is durably in the files, which were `files` bytes long then.

    `files` has the feed and the newest day of each tenant; older days are never written again.
    """

    form: Form
    sequence: int = 0
    event: str | None = None  # id of the event at `sequence`: whether this is the same log
    files: dict[str, int] = {}


def read_position(directory: Path, form: Form) -> Position:
    """The position that was kept; the beginning where there is none, none that can be read, or one of another form.

    Beginning again is always right: what is in the files already is compared, not written twice.
    """
    try:
        found = msgspec.json.decode((directory / NAME).read_bytes(), type=Position)
    except (FileNotFoundError, msgspec.DecodeError):
        return Position(form=form)
    return found if found.form is form else Position(form=form)


def write_position(directory: Path, position: Position) -> None:
    """Replace the kept position. Raises OSError."""
    beside = directory / f"{NAME}.new"
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, MODE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.encode(position))
        file.flush()
        os.fsync(file.fileno())
    beside.replace(directory / NAME)
    fsync_directory(directory)
