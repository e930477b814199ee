"""The tables of the read models, in schema `views`: one row per view, the whole document and what lists filter by.

The projector owns and makes them: they are worth nothing but the time to fold them again. A reader sees the rows of
the tenant that its transaction names (`agentplane.tenant`), by row-level security; executors belong to all.
"""

import re
from collections.abc import Callable
from typing import Any, Final, LiteralString, NamedTuple

import msgspec

from agentplane.domains.resource import Resource
from agentplane.projections.engine import Key
from agentplane.projections.evidence import EvidenceRow
from agentplane.projections.run_view import RunView, summary_of

REBUILD_SUFFIX: Final = "__rebuild"


class Table(NamedTuple):
    """Where a projection's views stand. `row` yields the values of all columns, `key` names the first of them."""

    name: LiteralString
    key: tuple[LiteralString, ...]
    columns: tuple[tuple[LiteralString, LiteralString], ...]
    row: Callable[[Any], tuple[object, ...]]
    visible: LiteralString  # to a reader: the condition of the row-level security policy
    indexes: tuple[LiteralString, ...] = ()


_OWN: Final[LiteralString] = "tenant = current_setting('agentplane.tenant', true)"
_TEXT: Final[LiteralString] = 'text COLLATE "C" NOT NULL'


def _run_row(view: RunView) -> tuple[object, ...]:
    summary = msgspec.json.encode(summary_of(view))
    hot = (view.state.value, view.lane or "", view.executor or "", view.first_sequence, view.last_sequence)
    return (view.tenant, view.name, *hot, summary, msgspec.json.encode(view))


def _evidence_row(view: EvidenceRow) -> tuple[object, ...]:
    return (view.tenant, view.run, f"{view.sequence:019d}", view.kind, msgspec.json.encode(view))


def _resource_row(view: Resource) -> tuple[object, ...]:
    return (view.tenant, view.kind, view.namespace, view.name, view.exists, msgspec.json.encode(view))


def _plugin_row(view: Any) -> tuple[object, ...]:  # noqa: ANN401 - a domain's own struct
    return (view.tenant, view.kind, view.namespace, view.name, msgspec.json.encode(view))


_RESOURCE_KEY: Final[tuple[LiteralString, ...]] = ("tenant", "kind", "namespace", "name")
_RESOURCE_COLUMNS: Final[tuple[tuple[LiteralString, LiteralString], ...]] = (
    ("tenant", _TEXT),
    ("kind", _TEXT),
    ("namespace", _TEXT),
    ("name", _TEXT),
)

TABLES: Final[dict[str, Table]] = {
    "runs": Table(
        name="runs",
        key=("tenant", "name"),
        columns=(
            ("tenant", _TEXT),
            ("name", _TEXT),
            ("state", _TEXT),
            ("lane", _TEXT),
            ("executor", _TEXT),
            ("first_sequence", "bigint NOT NULL"),
            ("last_sequence", "bigint NOT NULL"),
            ("summary", "bytea NOT NULL"),
            ("document", "bytea NOT NULL"),
        ),
        row=_run_row,
        visible=_OWN,
        indexes=("tenant, first_sequence",),
    ),
    "executors": Table(
        name="executors",
        key=("tenant", "name"),
        columns=(("tenant", _TEXT), ("name", _TEXT), ("document", "bytea NOT NULL")),
        row=lambda view: (view.tenant, view.name, msgspec.json.encode(view)),
        visible="true",
    ),
    "evidence": Table(
        name="evidence",
        key=("tenant", "run", "place"),
        columns=(
            ("tenant", _TEXT),
            ("run", _TEXT),
            ("place", _TEXT),  # the event's sequence, 19 digits
            ("kind", _TEXT),
            ("document", "bytea NOT NULL"),
        ),
        row=_evidence_row,
        visible=_OWN,
    ),
    "resources": Table(
        name="resources",
        key=_RESOURCE_KEY,
        columns=(*_RESOURCE_COLUMNS, ("present", "boolean NOT NULL"), ("document", "bytea NOT NULL")),
        row=_resource_row,
        visible=_OWN,
    ),
    "streams": Table(
        name="streams",
        key=_RESOURCE_KEY,
        columns=(
            *_RESOURCE_COLUMNS,
            ("events", "bigint NOT NULL"),
            ("intents", "bigint NOT NULL"),
            ("facts", "bigint NOT NULL"),
            ("first_sequence", "bigint NOT NULL"),
            ("last_sequence", "bigint NOT NULL"),
            ("first_recorded_at", "timestamptz NOT NULL"),
            ("last_recorded_at", "timestamptz NOT NULL"),
            ("last_type", _TEXT),
            ("last_actor", _TEXT),
        ),
        row=msgspec.structs.astuple,
        visible=_OWN,
    ),
}
_VIEWS: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")

CHECKPOINTS: Final[LiteralString] = """
    CREATE TABLE IF NOT EXISTS views.checkpoints (
        projection      text        PRIMARY KEY,
        version         integer     NOT NULL,
        position        bigint      NOT NULL DEFAULT 0,
        poison_sequence bigint,
        poison_event    text,
        reason          text,
        rebuilt_at      timestamptz,
        updated_at      timestamptz NOT NULL DEFAULT now(),
        since           timestamptz NOT NULL DEFAULT now(),
        since_position  bigint      NOT NULL DEFAULT 0,
        later           timestamptz NOT NULL DEFAULT now(),
        later_position  bigint      NOT NULL DEFAULT 0,
        readable_from   integer     NOT NULL DEFAULT 1
    )"""
# of an older program, which did not say who may read its rows, or how fast they came; asked first, since to alter a
# table is to wait for all who read it
CHECKPOINTS_SINCE: Final[LiteralString] = """
    DO $$ BEGIN
        IF NOT EXISTS (
            SELECT FROM pg_attribute
            WHERE attrelid = 'views.checkpoints'::regclass AND attname = 'readable_from' AND NOT attisdropped
        ) THEN
            ALTER TABLE views.checkpoints
                ADD COLUMN IF NOT EXISTS since timestamptz NOT NULL DEFAULT now(),
                ADD COLUMN IF NOT EXISTS since_position bigint NOT NULL DEFAULT 0,
                ADD COLUMN IF NOT EXISTS later timestamptz NOT NULL DEFAULT now(),
                ADD COLUMN IF NOT EXISTS later_position bigint NOT NULL DEFAULT 0,
                ADD COLUMN IF NOT EXISTS readable_from integer NOT NULL DEFAULT 1;
        END IF;
    END $$"""
# With every move of a position: throughput is measured since a mark that is 10 to 20 seconds old while things move.
MARK: Final[LiteralString] = """
    since = CASE WHEN later < now() - interval '10 s' THEN later ELSE since END,
    since_position = CASE WHEN later < now() - interval '10 s' THEN later_position ELSE since_position END,
    later_position = CASE WHEN later < now() - interval '10 s' THEN position ELSE later_position END,
    later = CASE WHEN later < now() - interval '10 s' THEN now() ELSE later END"""


def table_of(projection: str) -> Table:
    """Where a projection's views stand: a table of ours, or the one shape that domains' own projections have.

    Such views have the fields tenant, kind, namespace and name, which are their key in this order.

    Raises:
        ValueError: the name would change the statements that it is put into.
    """
    if projection in TABLES:
        return TABLES[projection]
    if not _VIEWS.fullmatch(projection) or projection == "checkpoints":
        raise ValueError(f"{projection!r} cannot name a table of views")
    return Table(
        name=projection,
        key=_RESOURCE_KEY,
        columns=(*_RESOURCE_COLUMNS, ("document", "bytea NOT NULL")),
        row=_plugin_row,
        visible=_OWN,
    )


def create(table: Table, suffix: LiteralString = "") -> tuple[LiteralString, ...]:
    """The statements that make a table, its indexes and its policy."""
    name: LiteralString = "views." + table.name + suffix
    columns: LiteralString = ", ".join([column + " " + kind for column, kind in table.columns])
    keys: LiteralString = ", ".join(table.key)
    return (
        "CREATE TABLE " + name + " (" + columns + ", PRIMARY KEY (" + keys + "))",
        *("CREATE INDEX ON " + name + " (" + index + ")" for index in table.indexes),
        "ALTER TABLE " + name + " ENABLE ROW LEVEL SECURITY",
        "CREATE POLICY readers ON " + name + " FOR SELECT TO agentplane_read USING (" + table.visible + ")",
        "GRANT SELECT ON " + name + " TO agentplane_read",
    )


def select(table: Table, suffix: LiteralString = "") -> LiteralString:
    """The documents of given keys, one text array per key column; the key columns come first."""
    keys: LiteralString = ", ".join(table.key)
    arrays: LiteralString = ", ".join(["%s::text[]" for _ in table.key])
    name: LiteralString = "views." + table.name + suffix
    return (
        "SELECT " + keys + ", document FROM " + name + " "  # noqa: S608 - literals of this module only
        "WHERE (" + keys + ") IN (SELECT * FROM unnest(" + arrays + "))"
    )


def upsert(table: Table, suffix: LiteralString = "") -> LiteralString:
    """One row, new or changed."""
    names: list[LiteralString] = [column for column, _ in table.columns]
    values: LiteralString = ", ".join(["%b" for _ in names])
    changes: LiteralString = ", ".join([name + " = excluded." + name for name in names if name not in table.key])
    keys: LiteralString = ", ".join(table.key)
    head: LiteralString = (
        "INSERT INTO views." + table.name + suffix + " (" + ", ".join(names) + ") VALUES (" + values + ")"  # noqa: S608
    )
    return head + " ON CONFLICT (" + keys + ") DO UPDATE SET " + changes


def fingerprint(table: Table, suffix: LiteralString = "") -> LiteralString:
    """How many rows, and one SHA-256 over the SHA-256 of every row in key order."""
    keys: LiteralString = ", ".join(["t." + key for key in table.key])
    each: LiteralString = "sha256(convert_to(t::text, 'UTF8'))"
    return (
        "SELECT count(*), encode(sha256(coalesce(string_agg("
        + each
        + ", ''::bytea ORDER BY "
        + keys
        + "), '')), 'hex') "
        "FROM views." + table.name + suffix + " t"
    )


def key_of(table: Table, row: tuple[Any, ...]) -> Key:
    """The key in a row of `select`."""
    return tuple(str(value) for value in row[: len(table.key)])
