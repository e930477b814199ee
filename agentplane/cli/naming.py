"""Which things a person means: `KIND`, `KIND NAME…` or `KIND/NAME…`; and their completion in a shell.

A name may say its namespace, `NAMESPACE/NAME`; so may `KIND/NAMESPACE/NAME`, which is what `-o name` prints.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

import click
from click.shell_completion import CompletionItem

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


class Named(NamedTuple):
    """Things of a kind. `word`: the kind as it was written; no `names`: all of them."""

    word: str
    names: tuple[str, ...]


def run_name(text: str) -> str:
    """The bare name of a run, which `-o name` prints as `Run/NAME`; the type of arguments."""
    kind, slash, name = text.partition("/")
    return name if slash and kind.lower() in {"run", "runs"} else text


def things_argument(*, required: bool) -> Callable[[Decorated], Decorated]:
    """Add the argument `things`: words for `named`."""
    metavar = "KIND [NAME]…|KIND/NAME…"
    return click.argument(
        "things",
        nargs=-1,
        required=required,
        metavar=metavar if required else f"[{metavar}]",
        shell_complete=complete_kind,
    )


def named(things: Sequence[str]) -> tuple[Named, ...]:
    """What the words mean, each kind once, in their order. Raises click.UsageError: both ways of naming are mixed."""
    if not things:
        return ()
    if "/" not in things[0]:
        if mixed := next((each for each in things[1:] if not each.strip("/")), None):
            raise click.UsageError(f"{mixed!r} is no name")
        return (Named(things[0], tuple(dict.fromkeys(things[1:]))),)
    found: dict[str, dict[str, None]] = {}
    for each in things:
        kind, slash, name = each.partition("/")
        if not (kind and slash and name):
            raise click.UsageError(
                f"{each!r} is not KIND/NAME, as {things[0]!r} before it; KIND NAME… is the other way"
            )
        found.setdefault(kind, {})[name] = None
    return tuple(Named(kind, tuple(names)) for kind, names in found.items())


def split(name: str, namespace: str | None) -> tuple[str, str]:
    """Namespace and bare name of what a person wrote; `namespace` where the name says none."""
    within, _, bare = name.rpartition("/")
    return within or namespace or "default", bare


def kind_named(word: str) -> str:
    """The kind that a person calls by its plural, by its read model, or in another case; else the word itself."""
    from agentplane.domains.discovery import installed

    registry = installed().registry
    known = next((each for each in registry if word.lower() in {each.name.lower(), each.plural}), None)
    if known is not None:
        return known.name
    views = (each for each in registry.views.values() if word.lower() in {each.singular, each.plural})
    return next((each.streams for each in views if each.streams), word)


def joined(kind: str, name: str, namespace: str | None) -> str:
    """`KIND/NAME`, with the namespace where it is not the one that everybody means."""
    return f"{kind}/{name}" if namespace in {None, "default"} else f"{kind}/{namespace}/{name}"


def complete_kind(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001 - click's
    """Kinds and read models that begin so. Asks nobody."""
    if ctx.params.get("things") or ctx.params.get("kind"):
        return []
    from agentplane.domains.discovery import installed

    registry = installed().registry
    kinds = ((word, kind.description) for kind in registry for word in (kind.plural, kind.name))
    views = ((view.plural, view.description) for view in registry.views.values())
    return _beginning(incomplete, (*kinds, *views))


def complete_documented(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001 - click's
    """Kinds that are made of documents and begin so."""
    from agentplane.domains.discovery import installed

    kinds = installed().registry.kinds.values()
    return _beginning(incomplete, ((kind.name, kind.description) for kind in kinds))


def _beginning(incomplete: str, words: Iterable[tuple[str, str]]) -> list[CompletionItem]:
    begun = incomplete.lower()
    return [CompletionItem(word, help=help_) for word, help_ in words if word.lower().startswith(begun)]
