"""Tokens to join with, and one more executor of a stack that uses one."""

from typing import TYPE_CHECKING

import click

from agentplane.cli import context as contexts
from agentplane.cli import executor_show as shown
from agentplane.cli.waiting import for_executor
from agentplane.cli.wishes import intent_for, submit

if TYPE_CHECKING:
    from agentplane.events.model import Event

_TTL_S = 600
_WITHIN_S = 120.0


def new_token(name: str, ttl_s: int, zone: str | None) -> "tuple[str, Event]":
    """A token, and the wish that it may count: only its hash is in there."""
    import secrets

    from agentplane.controllers.joining import token_hash
    from agentplane.enrolment import facts

    token = f"apjoin_{secrets.token_urlsafe(32)}"
    wish = facts.TokenRequested(token_hash=token_hash(token), ttl_s=ttl_s, zone=zone)
    return token, intent_for(name, facts.TOKEN_REQUESTED, wish)


def add(ctx: click.Context, name: str, zone: str | None) -> None:
    """One more executor for this stack; returns when it is heard of. Raises AgentplaneError."""
    from agentplane.stack import joiners, lifecycle
    from agentplane.stack.layout import Layout

    layout = Layout(contexts.state_dir(ctx))
    token, intent = new_token(name, _TTL_S, zone)
    submit(ctx, intent)
    lifecycle.add_executor(layout, name, token)
    for_executor(
        ctx,
        name,
        lambda line: line.executor.facts is not None,
        within_s=_WITHIN_S,
        otherwise=f"{name} has not reported yet",
        hint=f"its log is {layout.logs}/executor-{name}.log",
    )
    joiners.joined(layout, name)
    shown.trust(ctx, name)
