"""Looking for rows of a domain's read model by what their documents say, as the database does. Pure."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

import msgspec

Listed = tuple[str, str, bytes]  # namespace, name, document


def selected(rows: Iterable[Listed], where: Mapping[str, str], after: tuple[str, str]) -> Iterator[Listed]:
    """The rows beyond `after` whose top-level fields have these texts."""
    for namespace, name, document in rows:
        said = msgspec.json.decode(document) if where else {}
        if (namespace, name) > tuple(after) and all(text(said.get(field)) == value for field, value in where.items()):
            yield namespace, name, document


def counted(documents: Iterable[bytes], by: str, what: str, after: str) -> tuple[tuple[str, str, int], ...]:
    """(value of `by`, value of `what`, documents) of all values of `by` beyond `after`, in order."""
    found: Counter[tuple[str, str]] = Counter()
    for document in documents:
        said = msgspec.json.decode(document)
        owner = text(said.get(by))
        if owner is not None and owner > after:
            found[owner, text(said.get(what)) or ""] += 1
    return tuple((owner, value, found[owner, value]) for owner, value in sorted(found))


def text(value: object) -> str | None:
    """As the database's `->>` has it."""
    if value is None or isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode()
