"""The filters that every `agentplane events` command shares, and what they ask for."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from agentplane.cli.naming import complete_kind, kind_named
from agentplane.cli.places import PLACE, place

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

_FILTERS = (
    click.option("--type", "type", metavar="GLOB", help="Only event types that match, such as 'run.*'."),
    click.option("--actor", metavar="GLOB", help="Only what these did, such as 'user:*'."),
    click.option("--kind", shell_complete=complete_kind, help="Only resources of this kind, such as Run."),
    click.option("--namespace", help="Only resources in this namespace."),
    click.option("--name", help="Only this resource."),
    click.option("--phase", type=click.Choice(["intent", "internal", "fact"]), help="Only events of this phase."),
    click.option("--correlation", help="Only events that belong together by this id, ours or their source's."),
    click.option("--tenant", help="Your own tenant; another one is denied."),
)
_WINDOW = (
    click.option("--since", metavar="PLACE", help=f"From here on, this included: {PLACE}."),
    click.option("--until", metavar="PLACE", help="Up to here, this included."),
)


def filter_options(command: Decorated) -> Decorated:
    """Add `--type --actor --kind --namespace --name --phase --correlation --tenant`."""
    for option in reversed(_FILTERS):
        command = option(command)
    return command


def window_options(command: Decorated) -> Decorated:
    """Add `--since --until`."""
    for option in reversed(_WINDOW):
        command = option(command)
    return command


def filters(ctx: click.Context, given: dict[str, Any]) -> dict[str, Any]:
    """What the options ask for, as fields of a question. `given` loses them.

    Raises:
        Denied: code `events.tenant`: another tenant than the context's.
        Refused: code `history.place`.
    """
    from agentplane.cli import context as contexts
    from agentplane.domains.work.aliases import correlation_uuid
    from agentplane.errors import Denied
    from agentplane.events.model import Phase

    tenant, phase, correlation = given.pop("tenant"), given.pop("phase"), given.pop("correlation")
    own = contexts.current(ctx).tenant if tenant or correlation else ""
    if tenant is not None and tenant != own:
        raise Denied(f"you belong to tenant {own!r}, and see its events only", code="events.tenant")
    given["type"] = _todays(given["type"])
    wish = {name: given.pop(name) for name in ("type", "actor", "kind", "namespace", "name")}
    wish["kind"] = wish["kind"] and kind_named(wish["kind"])
    wish["correlation"] = correlation_uuid(own, correlation) if correlation else None
    for name in ("since", "until"):
        if name in given:
            wish[name] = place(given.pop(name), f"--{name}")
    return {**wish, "phase": None if phase is None else Phase(phase)}


def _todays(glob: str | None) -> str | None:
    """A pattern of types as they are stored; who asks in VerMAS' older words is told which ones these are."""
    from agentplane.cli import render
    from agentplane.domains.work.aliases import canonical_glob

    if glob is None or (today := canonical_glob(glob)) == glob:
        return glob
    render.say(f"{glob} is called {today} here")
    return today
