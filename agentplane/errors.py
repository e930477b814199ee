"""The one exception tree. Every leaf has a stable `code`; the command line maps classes to exit statuses.

| class | meaning | caller should | exit status |
|---|---|---|---|
| Refused | the input is wrong | change it | 2 |
| NotFound | no such thing (or not yours) | look again | 3 |
| Denied | not allowed | ask for the right | 4 |
| Conflict | somebody else was first | reread, decide again | 5 |
| Transient | a part is down, full or slow | retry after `delay_s` | 6 |
| Tampered | bytes are not what was signed | stop, alarm, never retry | 7 |
| Broken | our own host or tool failed (Nix build, QEMU) | read the hint, repair | 8 |

Expected negatives are values, not exceptions: findings, verify reports, a guest that exits 1.
Exit status 1 is such a negative answer (run failed, verify said no, replay diverged).
"""

from typing import ClassVar


class AgentplaneError(Exception):
    """Base of all errors that people see: `code: message` and what to do about it."""

    code: str = "error"
    exit_status: ClassVar[int] = 8

    def __init__(
        self, message: str, *, code: str | None = None, where: str | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message

    def to_json(self) -> dict[str, str | None]:
        """The error as data, for `-o json` and for replies over the bus."""
        return {"code": self.code, "message": self.message, "where": self.where, "hint": self.hint}


class Refused(AgentplaneError):
    """The input is wrong; it was not acted upon."""

    code = "refused"
    exit_status = 2


class NotFound(AgentplaneError):
    """No such thing, or none that the caller may see."""

    code = "not-found"
    exit_status = 3


class Denied(AgentplaneError):
    """The caller is not allowed to do this."""

    code = "denied"
    exit_status = 4


class Conflict(AgentplaneError):
    """Somebody else was first: reread and decide again."""

    code = "conflict"
    exit_status = 5


class Transient(AgentplaneError):
    """A part is down, full or slow; the same call may succeed after `delay_s`."""

    code = "transient"
    exit_status = 6

    def __init__(
        self,
        message: str,
        *,
        delay_s: float = 1.0,
        code: str | None = None,
        where: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, code=code, where=where, hint=hint)
        self.delay_s = delay_s


class Tampered(AgentplaneError):
    """Bytes are not what was signed or chained. Stop and alarm; never retry."""

    code = "tampered"
    exit_status = 7


class Broken(AgentplaneError):
    """A tool of this host failed (Nix, QEMU, PostgreSQL binaries); not the caller's input."""

    code = "broken"
    exit_status = 8
