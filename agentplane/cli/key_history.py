"""Control's signed word on which executors' keys counted when: asked for a run, and checked."""

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from agentplane.cli import context as contexts
from agentplane.cli import render
from agentplane.errors import Denied, NotFound, Refused, Tampered, Transient

if TYPE_CHECKING:
    from agentplane.evidence.keys import TrustedKeys
    from agentplane.evidence.record import Record
    from agentplane.projections.evidence import EvidenceRow


def asked(
    ctx: click.Context, run: str, own: "TrustedKeys", *, needed: bool = False
) -> "tuple[TrustedKeys, bytes | None]":
    """Own keys and those that control vouches for, and the envelope in which it does; None: it gave none.

    Raises:
        Transient: `evidence.no-key-history`: control gives none, and it is `needed`.
        Tampered: what came is not signed by a control key among one's own.
        Refused: `evidence.key-history`: not of the form.
    """
    from agentplane.evidence.key_history import open_history, trusting
    from agentplane.queries.attestations import executor_keys

    context = contexts.load_context(contexts.state_dir(ctx))

    async def ask() -> bytes:
        async with contexts.connected(context) as bus:
            return await executor_keys(bus, context.tenant, run)

    try:
        envelope = asyncio.run(ask())
    except NotFound:
        return own, None  # it was refused: no executor said anything
    except (Transient, Denied) as error:
        if needed:
            raise Transient(
                f"control does not say which keys counted when: {error}",
                code="evidence.no-key-history",
                where=run,
                hint="ask again while control answers; or --without-key-history, and no verifier can tell either",
            ) from error
        render.say(f"no key history: {error}", style="yellow")
        return own, None
    history = open_history(envelope, own).history
    if history.run != run or history.tenant != context.tenant:
        raise Refused(f"it is about {history.tenant}/{history.run}", code="evidence.key-history", where=run)
    return trusting(own, history), envelope


def trusted_for(ctx: click.Context, run: str, rows: "Iterable[EvidenceRow]", own: "TrustedKeys") -> "TrustedKeys":
    """Own keys, where one holds some of everybody who signed; else also those that control vouches for."""
    from agentplane.evidence.keys import CONTROL, executor_identity

    signers = {row.source if row.source == CONTROL else executor_identity(row.source) for row in rows}
    return own if signers <= set(own.identities) else asked(ctx, run, own)[0]


def marked_records(rows: "Iterable[EvidenceRow]", trusted: "TrustedKeys") -> "tuple[Record, ...]":
    """What was kept and not believed, as far as whoever signed it is among the keys that one trusts."""
    from agentplane.cli.records import opened

    found = []
    for row in rows:
        try:
            if row.mark:
                found.append(opened(row, trusted))
        except Tampered as error:
            render.say(f"left out, a marked {row.kind} of {row.source}: {error}", style="yellow")
    return tuple(found)
