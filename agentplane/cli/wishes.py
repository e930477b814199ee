"""Handing in a wish about an executor, and what became of it."""

import asyncio
import uuid
from typing import TYPE_CHECKING

import click

from agentplane.cli import context as contexts
from agentplane.errors import Refused, Transient

if TYPE_CHECKING:
    import msgspec

    from agentplane.events.model import Event, StoredEvent

_WITHIN_S = 30.0


def intent_for(executor: str, type_: str, said: "msgspec.Struct") -> "Event":
    """The wish as an intent. Raises Refused (`executor.name`)."""
    from agentplane.clock import SystemClock
    from agentplane.ids import DNS_LABEL
    from agentplane.intents.executors import wish

    if not DNS_LABEL.fullmatch(executor):
        raise Refused("an executor's name is a DNS label: a-z, 0-9 and '-', at most 63", code="executor.name")
    now = SystemClock().now()
    return wish(uuid.uuid4(), executor=executor, type_=type_, actor=contexts.actor(), now=now, said=said)


def submit(ctx: click.Context, intent: "Event") -> "StoredEvent":
    """Hand it in and wait for what follows.

    Raises:
        Refused: control did not take it; with control's code. Transient: code `control.silent`. Denied: no operator.
    """
    return asyncio.run(_submit(contexts.current(ctx), intent))


async def _submit(context: contexts.Context, intent: "Event") -> "StoredEvent":
    from agentplane.cli.submit import publish
    from agentplane.events import cloudevents
    from agentplane.runs.executors import SYSTEM_TENANT
    from agentplane.runs.intents import INTENT_REJECTED

    async with contexts.connected(context) as bus:
        facts = bus.subscribe(f"agentplane.{SYSTEM_TENANT}.fact.>")
        await publish(bus, intent)
        try:
            async with asyncio.timeout(_WITHIN_S):
                async for _, body in facts:
                    stored = cloudevents.decode_stored(body)
                    event = stored.event
                    if event.type == INTENT_REJECTED and event.data.get("intentId") == str(intent.id):
                        raise Refused(str(event.data["message"]), code=str(event.data["code"]))
                    if event.causation_id == intent.id:
                        return stored
        except TimeoutError:
            pass
    raise Transient(
        "control has not answered; the wish is queued and will be handled when it does",
        code="control.silent",
        where=intent.stream.name,
        hint="agentplane executor list shows what became of it",
    )
