"""What a check answers. Pure."""

from enum import StrEnum

import msgspec


class Status(StrEnum):
    """How a check ended."""

    PASS = "pass"  # noqa: S105 - not a password
    WARN = "warn"  # works, but worse than it could
    FAIL = "fail"
    SKIP = "skip"  # does not apply here; the cause says why


class Role(StrEnum):
    """What a machine is for."""

    DEVELOPER = "developer"
    CONTROL = "control"
    EXECUTOR = "executor"


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One answer. `fix` is a command that works when pasted, or None when there is nothing to do."""

    id: str
    status: Status
    cause: str
    fix: str | None = None
    required: bool = True


def passed(id_: str, cause: str) -> Check:
    """It is as it should be."""
    return Check(id=id_, status=Status.PASS, cause=cause)


def failed(id_: str, cause: str, fix: str | None, *, required: bool = True) -> Check:
    """It is not; a warning when the role can live without."""
    return Check(id=id_, status=Status.FAIL if required else Status.WARN, cause=cause, fix=fix, required=required)


def skipped(id_: str, cause: str) -> Check:
    """It was not looked at, and why."""
    return Check(id=id_, status=Status.SKIP, cause=cause, required=False)


def healthy(checks: list[Check]) -> bool:
    """No required check failed."""
    return not any(check.status is Status.FAIL and check.required for check in checks)
