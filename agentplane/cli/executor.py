"""`agentplane executor …`: who runs bundles, who may join, who rests, who leaves."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from agentplane.cli import executor_show as shown
from agentplane.cli import render
from agentplane.cli.waiting import for_executor
from agentplane.cli.wishes import intent_for, submit
from agentplane.errors import Refused

if TYPE_CHECKING:
    import msgspec

    from agentplane.queries.protocol import ExecutorLine

_WAIT_S = 3600.0


@click.group()
def executor() -> None:
    """Hosts that run bundles: joining, draining, leaving, and their keys.

    Needs the NATS key of an operator; a stack's own user is one.
    """


def _changing(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options of every command that changes something."""
    command = click.option("--dry-run", is_flag=True, help="Show the intent; hand in nothing.")(command)
    command = click.option("--reason", default="", help="Why; kept in the log.")(command)
    return render.output_option(click.pass_context(command))


def _hand_in(ctx: click.Context, name: str, wish: "tuple[str, msgspec.Struct]", done: str, **how: Any) -> int:  # noqa: ANN401
    """Hand in a wish, and say what came of it. What is so already is no error."""
    import msgspec

    intent = intent_for(name, *wish)
    output = how["output"]
    if how["dry_run"]:
        render.emit(msgspec.to_builtins(intent), output if output != "table" else "yaml", lambda: None)
        return 0
    try:
        event = submit(ctx, intent).event
        answer = {"executor": name, "event": event.type, "changed": True, **event.data}
    except Refused as refused:
        if refused.code != "executor.unchanged":
            raise
        answer, done = {"executor": name, "event": None, "changed": False, "message": refused.message}, refused.message
    render.emit(answer, output, lambda: None)
    render.say(done)
    return 0


@executor.command("list")
@render.list_option
@click.pass_context
def list_(ctx: click.Context, output: str) -> int:
    """List every executor, and what it runs.

    Says whether it is approved, drains or has left, and whether it is heard of.
    """
    shown.listing(ctx, output)
    return 0


@executor.command()
@render.output_option
@click.pass_context
def requests(ctx: click.Context, output: str) -> int:
    """List who asks to join, with the fingerprint.

    Compare it with what the host itself prints.
    """
    shown.waiting(ctx, output)
    return 0


@executor.command()
@click.argument("name")
@render.output_option
@click.pass_context
def describe(ctx: click.Context, name: str, output: str) -> int:
    """Everything about one executor.

    Its keys and since when they count, who changed what and why, its runs.
    """
    shown.one(ctx, name, output)
    return 0


@executor.command()
@click.argument("name")
@click.option("--fingerprint", required=True, help="As the host prints it; at least 32 digits.")
@click.option("--zone", help="The trust zone it runs in [default: default].")
@_changing
def approve(ctx: click.Context, name: str, fingerprint: str, zone: str | None, **how: Any) -> int:  # noqa: ANN401
    """Let NAME in, which asks to join with this fingerprint.

    Its key is trusted here from then on.
    """
    from agentplane.enrolment import facts

    wish = facts.ApprovalRequested(fingerprint=fingerprint, zone=zone, reason=how["reason"])
    status = _hand_in(ctx, name, (facts.APPROVAL_REQUESTED, wish), f"{name} is approved", **how)
    if not how["dry_run"]:
        _patiently_trust(ctx, name)
    return status


@executor.command()
@click.argument("name")
@render.output_option
@click.pass_context
def trust(ctx: click.Context, name: str, output: str) -> int:
    """Keep NAME's public keys here.

    So `agentplane evidence` believes what it signs.
    """
    files = shown.trust(ctx, name)
    render.emit({"executor": name, "files": files}, output, lambda: click.echo("\n".join(files)))
    return 0


@executor.command()
@click.argument("name")
@click.option("--wait", is_flag=True, help="Until nothing runs there any more.")
@_changing
def drain(ctx: click.Context, name: str, wait: bool, **how: Any) -> int:  # noqa: ANN401
    """Let NAME finish what it runs and take nothing new."""
    from agentplane.enrolment import facts

    wish = facts.DRAIN_REQUESTED, facts.Wish(reason=how["reason"])
    status = _hand_in(ctx, name, wish, f"{name} takes nothing new", **how)
    if wait and not how["dry_run"]:
        _until_idle(ctx, name)
    return status


@executor.command()
@click.argument("name")
@_changing
def resume(ctx: click.Context, name: str, **how: Any) -> int:  # noqa: ANN401
    """Let NAME take runs again."""
    from agentplane.enrolment import facts

    wish = facts.RESUME_REQUESTED, facts.Wish(reason=how["reason"])
    return _hand_in(ctx, name, wish, f"{name} takes runs again", **how)


@executor.command()
@click.argument("name")
@click.option("--force", is_flag=True, help="Also while it runs something: that is placed again elsewhere.")
@_changing
def retire(ctx: click.Context, name: str, force: bool, **how: Any) -> int:  # noqa: ANN401
    """Let NAME leave for good. What it signed stays good; its name is not given away again."""
    from agentplane.enrolment import facts

    wish = facts.RETIREMENT_REQUESTED, facts.RetirementRequested(reason=how["reason"], force=force)
    return _hand_in(ctx, name, wish, f"{name} is retired", **how)


@executor.command()
@click.argument("name")
@_changing
def revoke(ctx: click.Context, name: str, **how: Any) -> int:  # noqa: ANN401
    """Shut NAME out at once.

    It is off the bus, its runs are placed again, and what it signs from now on is not believed.
    """
    from agentplane.enrolment import facts

    wish = facts.REVOCATION_REQUESTED, facts.Wish(reason=how["reason"])
    return _hand_in(ctx, name, wish, f"{name} is revoked", **how)


@executor.command()
@click.argument("name")
@click.option("--overlap", default="1h", show_default=True, help="How long the old keys go on counting.")
@click.option("--wait", is_flag=True, help="Until it has announced its new keys.")
@_changing
def rotate(ctx: click.Context, name: str, overlap: str, wait: bool, **how: Any) -> int:  # noqa: ANN401
    """Ask NAME for new keys, which its old ones vouch for."""
    from agentplane.enrolment import facts

    before = shown.view(ctx, name).enrolment.keys
    wish = facts.ROTATION_REQUESTED, facts.RotationRequested(overlap_s=_seconds(overlap), reason=how["reason"])
    status = _hand_in(ctx, name, wish, f"{name} is asked for new keys; the old ones count for {overlap} more", **how)
    if wait and not how["dry_run"]:
        _until(ctx, name, lambda line: line.executor.enrolment.keys != before, f"{name} has not announced new keys")
        shown.trust(ctx, name)
    return status


@executor.group()
def token() -> None:
    """One-time tokens to join with."""


@token.command()
@click.option("--name", required=True, help="The executor that may join with it.")
@click.option("--ttl", default="1h", show_default=True, help="How long it counts: 90m, 12h, 7d at most.")
@click.option("--zone", help="The trust zone it joins [default: default].")
@_changing
def create(ctx: click.Context, name: str, ttl: str, zone: str | None, **how: Any) -> int:  # noqa: ANN401
    """Print a token that lets in one executor, once. It is kept nowhere: only its hash goes into the log."""
    import msgspec

    from agentplane.cli.joining import new_token

    secret, intent = new_token(name, _seconds(ttl), zone)
    output = how["output"]
    if how["dry_run"]:
        render.emit(msgspec.to_builtins(intent), output if output != "table" else "yaml", lambda: None)
        return 0
    created = submit(ctx, intent).event.data
    answer = {"executor": name, "token": secret, "expiresAt": created["expiresAt"]}
    render.emit(answer, output, lambda: click.echo(secret))
    render.say(f"lets in {name}, once, until {created['expiresAt']}; it is not shown again")
    return 0


def _seconds(text: str) -> int:
    """A span as people write it. Raises Refused (`executor.span`)."""
    from agentplane.history.spans import parse_span

    found = parse_span(text)
    if found is None or found.microseconds:
        raise Refused(f"{text!r} is no span of time", code="executor.span", hint="90m, 12h, 1d12h")
    return int(found.total_seconds())


def _until_idle(ctx: click.Context, name: str) -> None:
    def idle(line: "ExecutorLine") -> bool:
        return not line.executor.leases and not line.other_leases

    _until(ctx, name, idle, f"{name} still runs something")


def _patiently_trust(ctx: click.Context, name: str) -> None:
    _until(ctx, name, lambda line: bool(line.executor.enrolment.keys), f"the keys of {name} are not shown yet")
    shown.trust(ctx, name)


def _until(ctx: click.Context, name: str, reached: "Callable[[ExecutorLine], bool]", otherwise: str) -> None:
    for_executor(ctx, name, reached, within_s=_WAIT_S, otherwise=otherwise)
