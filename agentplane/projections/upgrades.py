"""When a program builds its own version of a read model beside the one that is served, and when it may switch. Pure.

Programs of several versions may be alive at once: the newest one decides. So an older one that restarts takes nothing
back, and one that is alone after a downgrade does.
"""

from collections.abc import Collection
from enum import StrEnum


class Course(StrEnum):
    """What a program does about one projection."""

    KEEP = "keep"  # its own version is served: it folds what is new
    BUILD = "build"  # its own version, beside what is served; then it switches
    STAND_BY = "stand by"  # a newer program is alive, and sees to it


def course(ours: int, served: int, alive: Collection[int]) -> Course:
    """What to do. `alive`: the versions of all programs that run."""
    if served == ours:
        return Course.KEEP
    return Course.STAND_BY if any(version > ours for version in alive) else Course.BUILD


def complete(position: int, *, served: int, head: int, waits: bool) -> bool:
    """Whether a build may take the place of what is served: nobody may see less than before.

    `position`: the last event in it; `served`: the last in what is served; `head`: of the log. `waits`: it stands
    before an event of a newer program, which is as far as any program of its version comes.
    """
    return position >= served and (position >= head or waits)


def orphaned(version: int, *, served: int | None, ours: int | None, alive: Collection[int], quiet: bool) -> bool:
    """Whether a build was left behind by a program that is no more. Said by who holds the lock of all builds.

    `version`: what it builds; `ours`: what we would. `quiet`: it has not moved for a while, which a program that is
    being restarted is given.
    """
    if served is None or version == served:  # a comparison that was killed: only who runs one goes on with it
        return True
    return version != ours and version not in alive and quiet


def readable(ours: int, ours_from: int, served: int, served_from: int) -> bool:
    """Whether a program of version `ours` may read rows of version `served`, if it can.

    The newer of the two says from which version on rows mean the same: `Projection.readable_from`.
    """
    return served >= ours_from if served <= ours else ours >= served_from
