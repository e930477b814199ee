"""Opens what a guest's unit left in its launch directory: an ordinary file under that name, or an error.

The unit has a user of its own and may have been taken over, so a name there can lead anywhere, or to a pipe on which
reading waits for ever. Whoever reads a launch directory opens its files here.
"""

import errno
import os
import stat
from pathlib import Path
from typing import Final

_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def open_foreign(path: Path) -> int:
    """A descriptor for reading, never waited for. Raises OSError: it is missing, a link, or no ordinary file."""
    descriptor = os.open(path, _FLAGS)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not an ordinary file", str(path))
    return descriptor


def read_foreign(path: Path, most_bytes: int) -> bytes:
    """The beginning of a file. Raises OSError as `open_foreign`."""
    with os.fdopen(open_foreign(path), "rb") as file:
        return file.read(most_bytes)
