"""`agentplane bundle push`: a bundle built once, signed, and put where executors fetch it."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agentplane.cli import render
from agentplane.errors import Refused

if TYPE_CHECKING:
    from agentplane.bundles.model import Bundle
    from agentplane.caches.pushed import Pushed
    from agentplane.runners.nix import Nix
    from agentplane.runs.model import Built, StorePath


@click.group("bundle")
def bundles() -> None:
    """Bundles on their way to executors."""


@bundles.command()
@click.argument("path", metavar="BUNDLE", type=click.Path(path_type=Path))
@click.option("--to", "url", required=True, metavar="URL", help="A binary cache: file:///DIRECTORY, http(s)://HOST.")
@click.option(
    "--key-file",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The secret key to sign with (see `agentplane cache key`).",
)
@click.option("--input", "inputs", multiple=True, metavar="NAME=PATH", help="Also push this input; see `run`.")
@render.output_option
def push(path: Path, url: str, key_file: Path, inputs: tuple[str, ...], output: str) -> int:
    """Build and sign the guest of BUNDLE; copy it to a cache.

    With all that it needs, to a binary cache.

    \b
    Executors whose configuration names the cache and the key run it without building anything:
      agentplane bundle push BUNDLE --to URL --key-file FILE -o json > pushed.json
      agentplane run BUNDLE --pushed pushed.json
    """  # noqa: D301 - \b is click's
    from agentplane.caches.push import load_public_part
    from agentplane.caches.reader import check_url
    from agentplane.cli.asking import builtins

    check_url(url)
    load_public_part(key_file)  # before anything is built
    pushed = _push(path, url, key_file, inputs)
    render.emit(builtins(pushed), output, lambda: _show(pushed))
    render.say(f"{pushed.bundle}: {pushed.paths} paths, {pushed.copied} of them new in {pushed.cache}", style="green")
    return 0


def _push(path: Path, url: str, key_file: Path, words: tuple[str, ...]) -> "Pushed":
    from agentplane.caches.push import push as copy
    from agentplane.caches.pushed import BACKENDS, Pushed
    from agentplane.cli.trees import add_input, parse_inputs
    from agentplane.runners.nix import environment

    bundle, directory = _valid(path)
    if bundle.backend_intent not in BACKENDS:
        said = f"backendIntent {bundle.backend_intent!r} has no guest that the kit builds"
        raise Refused(said, code="bundle.backend", where=str(path), hint=f"one of {', '.join(BACKENDS)}")
    parsed, nix = parse_inputs(words), _builder()
    source = nix.add_tree(directory, f"bundle-{bundle.name}")
    added = tuple(add_input(nix, each, tree) for each, tree in parsed.items())
    built = tuple(_build(nix, backend, source, bundle) for backend in BACKENDS[bundle.backend_intent])
    roots = [source.path, *(each.spec.path for each in built), *(each.tree.path for each in added)]
    copied = copy(roots, url, key_file, environment(), progress=_progress)
    return Pushed(
        bundle=bundle.ref,
        source=source,
        built=built,
        inputs=added,
        cache=url.rstrip("/"),
        public_key=str(copied.key),
        paths=copied.paths,
        copied=copied.copied,
    )


def _valid(path: Path) -> "tuple[Bundle, Path]":
    from agentplane.bundles.model import bundle_of
    from agentplane.cli.bundles import judge, show

    report, document, facts, directory = judge(path)
    if not report.valid:
        show(report)
        raise Refused(f"{len(report.failures)} finding(s)", code="bundle.invalid", where=str(path))
    return bundle_of(document, facts), directory


def _builder() -> "Nix":
    from agentplane.runners.kit import find_kit
    from agentplane.runners.nix import Nix

    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "agentplane"
    cache.mkdir(mode=0o755, parents=True, exist_ok=True)
    return Nix(cache, find_kit(cache))


def _build(nix: "Nix", backend: str, source: "StorePath", bundle: "Bundle") -> "Built":
    from agentplane.runs.model import Built

    render.say(f"building the guest of {bundle.ref} for {backend}")
    build = nix.build_process if backend == "process" else nix.build_guest
    return Built(backend=backend, spec=build(source, bundle.name, bundle.module, bundle.smoke))


def _progress(number: int, of: int, path: str) -> None:
    render.say(f"signing and copying {number}/{of} {path.removeprefix('/nix/store/')[33:]}")


def _show(pushed: "Pushed") -> None:
    rows = [("source", pushed.source)]
    rows += [(f"guest ({each.backend})", each.spec) for each in pushed.built]
    rows += [(f"input {each.name}", each.tree) for each in pushed.inputs]
    render.table(["", "store path", "NAR hash"], [(name, at.path, at.nar_hash) for name, at in rows], empty="")
    click.echo(f"\nsigned by {pushed.public_key}")
