"""What survives a crash of the machine, beyond a file's own fsync. Shims use it: `os` is all that it imports."""

import os


def fsync_directory(path: os.PathLike[str] | str) -> None:
    """Make the names in a directory durable. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
