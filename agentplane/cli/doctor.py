"""`agentplane doctor`: checks with causes and fixes; exit status 8 when a required one fails."""

from typing import TYPE_CHECKING

import click

from agentplane.cli import context as contexts
from agentplane.cli import render

if TYPE_CHECKING:
    from agentplane.doctor.check import Check


@click.command()
@click.option(
    "--role",
    type=click.Choice(["developer", "control", "executor"]),
    default="developer",
    show_default=True,
    help="What this machine is for.",
)
@click.option("--fleet", is_flag=True, help="Check every executor of the fleet instead of this machine.")
@click.option("--json", "as_json", is_flag=True, callback=render.remember_output, help="The same as -o json.")
@render.output_option
@click.pass_context
def doctor(ctx: click.Context, role: str, fleet: bool, as_json: bool, output: str) -> int:
    """Check this machine for its role; every finding has a cause and a fix that works when pasted."""
    import msgspec

    from agentplane.doctor.check import healthy

    checks = _fleet(ctx) if fleet else _machine(ctx, role)
    ok = healthy(checks)
    answer = {"role": "fleet" if fleet else role, "healthy": ok, "checks": msgspec.to_builtins(checks)}
    output = "json" if as_json else output
    render.emit(answer, output, lambda: _table(checks))
    if output == "table":
        render.say("healthy" if ok else "not fit for its role: repair what failed", style="green" if ok else "red")
    return 0 if ok else 8


def _machine(ctx: click.Context, role: str) -> "list[Check]":
    from agentplane.doctor.check import Role
    from agentplane.doctor.examine import examine

    return examine(Role(role), contexts.state_dir(ctx))


def _fleet(ctx: click.Context) -> "list[Check]":
    from agentplane.cli.asking import ask
    from agentplane.clock import SystemClock
    from agentplane.doctor.certificates import of_bus
    from agentplane.doctor.check import healthy
    from agentplane.doctor.fleet import fleet

    context = contexts.current(ctx)
    found = of_bus(context.servers, context.tls, SystemClock().now())
    if not healthy(found):  # nobody answers over such a bus
        return found
    return [*found, *fleet([line.executor for line in ask(ctx, lambda client: client.executors())])]


def _table(checks: "list[Check]") -> None:
    rows = [(check.id, check.status.value, check.cause) for check in checks]
    render.table(["check", "status", "cause"], rows, empty="nothing to check")
    for check in checks:
        if check.fix:
            render.say(f"  {check.id}: {check.fix}")
