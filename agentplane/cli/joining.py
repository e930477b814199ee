"""Tokens to join with, and one more executor of a stack that uses one."""

import time
from typing import TYPE_CHECKING

import click

from agentplane.cli import context as contexts
from agentplane.cli import executor_show as shown
from agentplane.cli.wishes import intent_for, submit
from agentplane.errors import NotFound, Transient

if TYPE_CHECKING:
    from agentplane.events.model import Event

_TTL_S = 600
_WITHIN_S = 120.0
_LOOK_AGAIN_S = 0.2


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
    _until_heard_of(ctx, name)
    joiners.joined(layout, name)
    shown.trust(ctx, name)


def _until_heard_of(ctx: click.Context, name: str) -> None:
    deadline = time.monotonic() + _WITHIN_S
    while not _is_heard_of(ctx, name):
        if time.monotonic() > deadline:
            hint = f"its log is log/executor-{name}.log"
            raise Transient(f"{name} has not reported yet", code="stack.slow", hint=hint)
        time.sleep(_LOOK_AGAIN_S)  # the read model moves after the log; nobody tells us when


def _is_heard_of(ctx: click.Context, name: str) -> bool:
    try:
        return shown.view(ctx, name).facts is not None
    except NotFound:
        return False
