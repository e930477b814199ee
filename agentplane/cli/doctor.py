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
@click.option("--json", "as_json", is_flag=True, help="The same as -o json.")
@render.output_option
@click.pass_context
def doctor(ctx: click.Context, role: str, as_json: bool, output: str) -> int:
    """Check this machine for its role; every finding has a cause and a fix that works when pasted."""
    import msgspec

    from agentplane.doctor.check import Role, healthy
    from agentplane.doctor.examine import examine

    checks = examine(Role(role), contexts.state_dir(ctx))
    ok = healthy(checks)
    answer = {"role": role, "healthy": ok, "checks": msgspec.to_builtins(checks)}
    render.emit(answer, "json" if as_json else output, lambda: _table(checks))
    if output == "table" and not as_json:
        render.say("healthy" if ok else "not fit for its role: repair what failed", style="green" if ok else "red")
    return 0 if ok else 8


def _table(checks: list["Check"]) -> None:
    render.table(
        ["check", "status", "cause"], [(check.id, check.status.value, check.cause) for check in checks], empty=""
    )
    for check in checks:
        if check.fix:
            render.say(f"  {check.id}: {check.fix}")
