"""`agentplane`: the index of commands. A command's module is imported when it is called, not before."""

import gc
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Final, NoReturn

import click

from agentplane.cli.notices import Notices
from agentplane.errors import AgentplaneError, Broken
from agentplane.queries.hearing import listening

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_COLLECT_EVERY: Final = 50_000  # objects: what importing makes is no garbage, looking for some among it takes 10 ms

# name -> (module:object, the line that --help shows)
COMMANDS: dict[str, tuple[str, str]] = {
    "validate": ("agentplane.cli.bundles:validate", "Check a bundle against every rule; nothing is created."),
    "bundle": ("agentplane.cli.pushing:bundles", "Build, sign and push a bundle's guest to a binary cache."),
    "cache": ("agentplane.cli.caches:cache", "Keys of binary caches, and whether a cache serves what was signed."),
    "run": ("agentplane.cli.run:run", "Run a bundle: validate, place, run, evidence."),
    "replay": ("agentplane.cli.run:replay", "Run a finished run again from its pins and compare."),
    "cancel": ("agentplane.cli.run:cancel", "Stop a run."),
    "kinds": ("agentplane.cli.kinds:kinds", "List all kinds of resources, by domain."),
    "schema": ("agentplane.cli.schema:schema", "What a kind's documents look like, from its model."),
    "apply": ("agentplane.cli.apply:apply", "Make resources be as documents say."),
    "diff": ("agentplane.cli.diff:diff", "What apply would change, or what has changed since."),
    "delete": ("agentplane.cli.delete:delete", "Delete resources; finalizers hold them."),
    "get": ("agentplane.cli.get:get", "List runs, executors or resources of any kind, or show one."),
    "describe": ("agentplane.cli.get:describe", "Everything about a run, a resource or any other thing."),
    "explain": ("agentplane.cli.get:explain", "Why a run was placed where it was, or why it waits."),
    "logs": ("agentplane.cli.logs:logs", "What a run's workload prints."),
    "artifacts": ("agentplane.cli.artifacts:artifacts", "List and fetch the files that a run left, wherever they are."),
    "events": ("agentplane.cli.events:events", "The log of everything that happened."),
    "eval": ("agentplane.cli.eval:evaluate", "How well work went: figures over the log."),
    "executor": ("agentplane.cli.executor:executor", "Hosts that run bundles: joining, draining, leaving, their keys."),
    "evidence": ("agentplane.cli.evidence:evidence", "Show, export and verify the signed evidence of a run."),
    "controllers": ("agentplane.cli.controllers:controllers", "Who decides, and whether they would today as before."),
    "deadletters": ("agentplane.cli.deadletters:deadletters", "What controllers could not handle, and another try."),
    "projections": ("agentplane.cli.projections:projections", "Status and rebuild of the read models."),
    "keys": ("agentplane.cli.keys:keys", "Make the keys, passwords and certificate of a fleet of hosts."),
    "completion": ("agentplane.cli.completion:completion", "What a shell needs to complete commands and kinds."),
    "context": ("agentplane.cli.where:context", "Show how this command line reaches its control plane."),
    "stack": ("agentplane.cli.stack:stack", "A whole agentplane on this machine, without systemd."),
    "backup": ("agentplane.cli.backup:backup", "Copy a running stack: database, journal, public keys, inventory."),
    "restore": ("agentplane.cli.backup:restore", "Make a stack of a backup, verified before it says so."),
    "support-bundle": ("agentplane.cli.support:support_bundle", "What a helper needs to know, without any secret."),
    "doctor": ("agentplane.cli.doctor:doctor", "Check this machine, and say how to repair it."),
}


class ReaderGone(Exception):
    """Who read our output has gone, as `head` does."""


class LazyGroup(click.Group):
    """A group that knows its commands' names and help lines without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The commands in corridor order."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import the command that was asked for."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command = getattr(import_module(module), name)
        assert isinstance(command, click.Command)  # noqa: S101 - a wrong index entry is our bug
        return command

    def invoke(self, ctx: click.Context) -> object:
        """Run the command. Raises ReaderGone: click would end us with status 1, which is an answer here."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as exc:
            raise ReaderGone from exc

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem]":
        """Commands from the table above, options as everywhere; nothing is imported for it."""
        from click.shell_completion import CompletionItem

        begun = [(name, line) for name, (_, line) in COMMANDS.items() if name.startswith(incomplete)]
        options = click.Command.shell_complete(self, ctx, incomplete)
        return [*(CompletionItem(name, help=line) for name, line in begun), *options]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The index, from the table above."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="agentplane")
@click.option(
    "--state-dir",
    type=click.Path(file_okay=False),
    envvar="AGENTPLANE_STATE_DIR",
    help="Where the stack lives [default: .agentplane here, else ~/.local/state/agentplane]",
)
@click.pass_context
def cli(ctx: click.Context, state_dir: str | None) -> None:
    """Governed bundle runs: validate, place, run, evidence, replay.

    \b
    Exit statuses: 0 yes, 1 a negative answer (run failed, verify said no, replay diverged),
    2 bad input or usage, 3 not found, 4 denied, 5 conflict, 6 try again, 7 tampered, 8 this host is broken.
    """  # noqa: D301 - \b is click's
    ctx.ensure_object(dict)["state_dir"] = state_dir


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit status. Never shows a traceback for an error that we know.

    Without `argv` this is the whole process, and it does not return: see `_leave`.
    """
    if argv is not None:
        return _run(argv)
    gc.set_threshold(_COLLECT_EVERY)
    status = _run(argv)
    return _leave(status)


def _leave(status: int) -> NoReturn:
    """End the process with nothing left unwritten. Taking the interpreter apart first would cost each command 20 ms."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:  # nobody can be told
        status = status or Broken.exit_status
    os._exit(status)


def _run(argv: Sequence[str] | None) -> int:
    chosen: dict[str, object] = {"notices": (notices := Notices())}
    try:
        with listening(notices.hear):
            result = cli.main(args=argv, standalone_mode=False, obj=chosen)
    except AgentplaneError as error:
        return _complain(error, chosen)
    except click.ClickException as error:
        error.show()
        _answer({"code": "usage", "message": error.format_message(), "where": None, "hint": None}, chosen)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return 130
    except ReaderGone:
        _abandon_stdout()
        return 141
    except Exception as exc:  # the last net: people get a sentence, whoever repairs it gets the rest on request
        if os.environ.get("AGENTPLANE_DEBUG"):
            raise
        return _complain(_unforeseen(exc), chosen)
    return result if isinstance(result, int) else 0


def _unforeseen(exc: Exception) -> AgentplaneError:
    if isinstance(exc, OSError) and exc.strerror:
        hint = "see that this user may use it, and that its disk has room"
        return Broken(exc.strerror, code="host.refuses", where=exc.filename and str(exc.filename), hint=hint)
    hint = "this is a defect of agentplane; AGENTPLANE_DEBUG=1 shows where"
    return Broken(f"{type(exc).__name__}: {exc}"[:500], code="cli.defect", hint=hint)


def _abandon_stdout() -> None:
    """The reader of our output has gone, as `head` does: what is still buffered must not fail again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _answer(error: dict[str, str | None], chosen: dict[str, object]) -> None:
    """Where an answer as data was asked for, the error is one too."""
    from agentplane.cli import render

    output = chosen.get("output")
    if output in {"json", "yaml", "jsonl"}:
        notices = chosen.get("notices")
        heard = {"notices": notices.heard} if isinstance(notices, Notices) and notices.heard else {}
        render.emit({"error": error, **heard}, str(output), lambda: None)


def _complain(error: AgentplaneError, chosen: dict[str, object]) -> int:
    _answer(error.to_json(), chosen)
    from agentplane.cli.render import coloured, visible

    head, _, rest = visible(str(error)).partition("\n")
    click.echo(f"{coloured('error:', 'red', bold=True)} {head} [{error.code}]", err=True)
    if rest:
        click.echo(rest, err=True)
    if error.hint:
        click.echo(f"  {coloured('hint:', 'cyan')} {visible(error.hint)}", err=True)
    return error.exit_status


if __name__ == "__main__":
    sys.exit(main())
