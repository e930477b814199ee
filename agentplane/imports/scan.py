"""A whole file, line by line: what each line is, what is wrong with it, and in which order the good ones go. Pure.

Keeps a few numbers per line, never the lines: they are read again when they are sent.
"""

import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import BinaryIO, Final

import msgspec
from msgspec.structs import replace

from agentplane.domains.work.aliases import event_uuid
from agentplane.errors import AgentplaneError, Refused
from agentplane.history.windows import Window
from agentplane.imports.admit import admit
from agentplane.imports.fields import BadLine
from agentplane.imports.model import Line
from agentplane.imports.order import Item, circle, ordered
from agentplane.imports.reading import MAX_LINE_BYTES, Format, read_line
from agentplane.imports.shaping import Rules, ids_of

MAX_PROBLEMS: Final = 1000
EVERYTHING: Final = Window()
_CHUNK: Final = 64 * 1024
_BOM: Final = b"\xef\xbb\xbf"


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """A line that cannot be taken. `column` from 1; None: the line as a whole. Never with a value out of it."""

    line: int
    column: int | None = None
    code: str
    reason: str


class Scanned(msgspec.Struct, kw_only=True):
    """What a file holds. `waiting`: the number of a last line that is not written to its end yet."""

    items: list[Item] = msgspec.field(default_factory=list)  # in the order in which they are to be stored
    problems: list[Problem] = msgspec.field(default_factory=list)  # at most 1000
    lines: int = 0
    faulty: int = 0
    repeated: int = 0  # lines that say what an earlier one says
    outside: int = 0  # lines that happened before or after what is wanted
    unknown: Counter[str] = msgspec.field(default_factory=Counter)  # types that no catalogue knows
    waiting: int | None = None
    end: int = 0  # offset behind the last line that was read whole


class Reader:
    """Reads lines of one file as one tenant's events."""

    def __init__(
        self,
        file: BinaryIO,
        form: Format,
        rules: Rules,
        from_tenant: str | None = None,
        *,
        window: Window = EVERYTHING,
    ) -> None:
        """`file` can be sought in. `from_tenant`: as `read_line`. `window`: what happened outside is left out."""
        self._file = file
        self._form = form
        self._rules = rules
        self._from_tenant = from_tenant
        self._window = window
        self._aliases: dict[str, str] = {}  # what an export of ours called lines, and what their sources did
        self._renamed: dict[uuid.UUID, uuid.UUID] = {}  # the same of the ids that both words stand for here

    def scan(
        self, now: datetime, *, offset: int = 0, number: int = 0, progress: Callable[[int], None] = lambda _: None
    ) -> Scanned:
        """All lines from a place on; `number`: of the line before. Calls `progress` with the number of each line."""
        found = Scanned(end=offset, lines=number)
        seen: dict[uuid.UUID, Item] = {}
        for line_number, at, raw, end in self._raw_lines(offset, number):
            whole = raw.endswith(b"\n")
            try:
                self._take(found, seen, (line_number, at, raw), now)
            except BadLine as bad:
                if not whole and bad.code == "import.json":
                    found.waiting = line_number
                    break
                _note(found, Problem(line=line_number, column=bad.column, code=bad.code, reason=bad.reason))
            except AgentplaneError as error:
                _note(found, Problem(line=line_number, code=error.code, reason=error.message))
            found.lines, found.end = line_number, end
            progress(line_number)
        found.items = [self._with_own_cause(item) for item in found.items] if self._renamed else found.items
        _refuse_circles(found)
        found.items = ordered(found.items)
        return found

    def line(self, item: Item) -> Line:
        """A line that was read before. Raises Refused, code `import.file`: the file was changed meanwhile."""
        self._file.seek(item.offset)
        try:
            line = self._read(self._file.read(item.size), item.number)
        except BadLine as bad:
            message = f"line {item.number} is another one than before: the file was changed meanwhile"
            raise Refused(message, code="import.file", hint="import a copy, or use --follow") from bad
        return line if line.cause not in self._aliases else replace(line, cause=self._aliases[line.cause])

    def _read(self, raw: bytes, number: int) -> Line:
        text = raw.removeprefix(_BOM) if number == 1 else raw
        return read_line(text, number, self._form, tenant=self._rules.tenant, from_tenant=self._from_tenant)

    def _take(self, found: Scanned, seen: dict[uuid.UUID, Item], place: tuple[int, int, bytes], now: datetime) -> None:
        number, offset, raw = place
        if not raw.strip():
            return
        line = self._read(raw, number)
        if line.alias is not None:
            self._aliases[line.alias] = line.id
            self._renamed[event_uuid(self._rules.tenant, line.alias)] = event_uuid(self._rules.tenant, line.id)
        if not self._window.has(line.time):
            found.outside += 1
            return
        judged = admit(line, self._rules, {}, (), now)
        event = judged.event
        others = tuple(id_ for id_ in ids_of(line, self._rules.tenant) if id_ != event.id)
        where = (line.sequence, number, offset, len(raw))
        item = Item(event.id, event.causation_id, event.time, *where, judged.digest, others)
        first = seen.setdefault(item.id, item)
        if first is not item:
            _check_same(first, item)
            found.repeated += 1
            return
        found.items.append(item)
        if event.type not in self._rules.facts:
            found.unknown[event.type] += 1

    def _with_own_cause(self, item: Item) -> Item:
        """Effects may stand before their causes: only at the end is it known what every cause is called."""
        known = None if item.cause is None else self._renamed.get(item.cause)
        return item if known is None else replace(item, cause=known)

    def _raw_lines(self, offset: int, number: int) -> Iterator[tuple[int, int, bytes, int]]:
        """(number, offset, bytes, next offset) of each line. Of one that is too long only the beginning is kept."""
        self._file.seek(offset)
        while raw := self._file.readline(MAX_LINE_BYTES + 2):
            number += 1
            at, offset = offset, offset + len(raw)
            while not raw.endswith(b"\n") and len(raw) > MAX_LINE_BYTES and (rest := self._file.readline(_CHUNK)):
                offset += len(rest)
                if rest.endswith(b"\n"):
                    break
            yield number, at, raw, offset


def _note(found: Scanned, problem: Problem) -> None:
    found.faulty += 1
    if len(found.problems) < MAX_PROBLEMS:
        found.problems.append(problem)


def _check_same(first: Item, item: Item) -> None:
    if first.digest != item.digest:
        raise BadLine(
            f"line {first.number} has the same id and another body: "
            f"sha256:{first.digest.hex()} there, sha256:{item.digest.hex()} here",
            code="import.conflict",
        )


def _refuse_circles(found: Scanned) -> None:
    """Events that cause each other in a circle are no history; they are left out, all of them."""
    while ring := circle(found.items):
        numbers = ", ".join(str(item.number) for item in ring[:8])
        for item in ring:
            reason = f"lines {numbers} cause each other in a circle"
            _note(found, Problem(line=item.number, code="history.cycle", reason=reason))
        gone = {item.id for item in ring}
        found.items = [item for item in found.items if item.id not in gone]
