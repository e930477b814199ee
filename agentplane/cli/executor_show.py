"""Executors as people see them: lists, one with all its history, and their public keys as files."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from agentplane.cli import context as contexts
from agentplane.cli import render
from agentplane.cli.asking import ask, builtins
from agentplane.errors import NotFound

if TYPE_CHECKING:
    from agentplane.projections.executors import ExecutorView
    from agentplane.queries.protocol import ExecutorLine

_SHORT = 16  # digits of a key id in a table


def _lines(ctx: click.Context) -> "tuple[ExecutorLine, ...]":
    return ask(ctx, lambda client: client.executors())


def _line(ctx: click.Context, name: str) -> "ExecutorLine":
    found = next((line for line in _lines(ctx) if line.executor.name == name), None)
    if found is None:
        raise NotFound(f"no executor {name!r}", code="executor.unknown", hint="`agentplane executor list`")
    return found


def view(ctx: click.Context, name: str) -> "ExecutorView":
    """One executor. Raises NotFound (`executor.unknown`)."""
    return _line(ctx, name).executor


def _heard(each: "ExecutorView") -> str:
    if each.key_id is None or each.enrolment.left:
        return "-"
    return "reachable" if each.reachable else "unreachable"


def listing(ctx: click.Context, output: str) -> None:
    """All of them."""
    lines = _lines(ctx)
    rows = [
        (
            each.name,
            each.enrolment.phase,
            _heard(each),
            (each.key_id or "-")[:_SHORT],
            len(each.leases) + line.other_leases,
            _remark(each),
        )
        for line in lines
        for each in (line.executor,)
    ]
    headers = ["executor", "membership", "heard of", "key", "runs", "remark"]
    answer = [{**builtins(line.executor), "phase": line.executor.enrolment.phase} for line in lines]
    render.emit(answer, output, lambda: render.table(headers, rows, empty="no executors yet"))


def _remark(each: "ExecutorView") -> str:
    known = each.enrolment
    for word, change in (("revoked", known.revoked), ("retired", known.retired), ("draining", known.draining)):
        if change is not None:
            return f"{word} {change.words()}"
    if known.clock is not None:
        return known.clock.words()
    if known.rotation is not None:
        return "asked for new keys"
    return f"{len(known.pending)} ask(s) for this name" if known.pending else ""


def waiting(ctx: click.Context, output: str) -> None:
    """Who asks to join."""
    asking = [(line.executor.name, each) for line in _lines(ctx) for each in line.executor.enrolment.pending]
    answer = [{"executor": name, "fingerprint": f"SHA256:{each.key_id}", **builtins(each)} for name, each in asking]
    rows = [(name, f"SHA256:{each.key_id}", f"{each.at:%Y-%m-%d %H:%M:%SZ}") for name, each in asking]
    headers = ["executor", "fingerprint", "asked"]
    render.emit(answer, output, lambda: render.table(headers, rows, empty="nobody asks to join"))


def one(ctx: click.Context, name: str, output: str) -> None:
    """Everything about one."""
    each = view(ctx, name)
    render.emit({**builtins(each), "phase": each.enrolment.phase}, output, lambda: _describe(each))


def _describe(each: "ExecutorView") -> None:
    known = each.enrolment
    facts = {
        "membership": known.phase,
        "heard of": _heard(each) + (f": {each.message}" if each.message else ""),
        "zone": known.zone,
        "approved": known.approved and known.approved.words(),
        "draining": known.draining and known.draining.words(),
        "retired": known.retired and known.retired.words(),
        "revoked": known.revoked and known.revoked.words(),
        "clock": known.clock and known.clock.words(),
        "new keys": known.rotation and f"asked for by {known.rotation.by}",
        "signs with": each.key_id and f"SHA256:{each.key_id}",
        "backends": each.facts and ", ".join(each.facts.backends),
        "runs": ", ".join(lease.run for lease in each.leases),
        "journal committed": str(each.journal_index),
        "last rejection": each.last_rejection,
    }
    render.table([each.name, ""], [(key, value) for key, value in facts.items() if value], empty="")
    if known.keys:
        click.echo()
        keys = [(f"SHA256:{key.key_id}", f"{key.since:%Y-%m-%d %H:%M:%SZ}", _end(key.until)) for key in known.keys]
        render.table(["key", "since", "until"], keys, empty="")


def _end(until: object) -> str:
    return f"{until:%Y-%m-%d %H:%M:%SZ}" if until else "-"


def trust(ctx: click.Context, name: str) -> list[str]:
    """Write its public keys where `agentplane evidence` looks for keys; the files. Raises NotFound, OSError."""
    from agentplane.enrolment.keys import decode_public
    from agentplane.evidence.keys import public_pem

    keys = view(ctx, name).enrolment.keys
    if not keys:
        raise NotFound(f"{name} has no key that it joined with", code="executor.no-key", hint="its key is configured")
    context = contexts.current(ctx)
    directory = Path(context.trusted_keys_dir) / "executors"
    directory.mkdir(parents=True, exist_ok=True)
    files = []
    for key in keys:
        path = directory / f"{name}.{key.key_id[:_SHORT]}.pub"
        path.write_bytes(public_pem(decode_public(key.public_key)))
        files.append(str(path))
    return files
