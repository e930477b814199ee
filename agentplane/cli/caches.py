"""`agentplane cache key|check`: a key pair for a binary cache, and whether a cache serves what was signed."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agentplane.cli import render
from agentplane.errors import Conflict, Refused

if TYPE_CHECKING:
    from agentplane.caches.check import Checked


@click.group()
def cache() -> None:
    """Binary caches that bundles travel through."""


@cache.command()
@click.argument("name")
@click.option(
    "--to", "target", type=click.Path(path_type=Path, dir_okay=False), required=True, help="A new file, mode 0400."
)
@render.output_option
def key(name: str, target: Path, output: str) -> int:
    """Make a key pair to sign with, called NAME (say builder-1).

    The secret half goes into a file, the public half is printed.

    The public half belongs into bundles.trusted_public_keys of every executor that is to believe it.
    """
    import secrets

    from agentplane.caches.keys import public_part, secret_text

    text = secret_text(name, secrets.token_bytes(32))
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o400)
        with os.fdopen(descriptor, "w") as file:
            file.write(text + "\n")
    except FileExistsError as exc:
        hint = "a key that signed something is not replaced: name a new file"
        raise Conflict("there is something here already", code="cache.key-file", where=str(target), hint=hint) from exc
    except OSError as exc:
        raise Refused(f"cannot be written: {exc.strerror}", code="cache.key-file", where=str(target)) from exc
    public = str(public_part(text))
    render.emit({"publicKey": public, "secretKeyFile": str(target)}, output, lambda: click.echo(public))
    render.say(f"{target} signs for {name}; keep it where only the builder reads it")
    return 0


@cache.command()
@click.argument("url")
@click.argument("paths", metavar="[PATH]...", nargs=-1)
@click.option("--trust", "trusted", multiple=True, metavar="NAME:BASE64", help="A public key to believe.")
@click.option("--pushed", type=click.Path(path_type=Path, dir_okay=False), help="Check what this push printed.")
@click.option("--contents", is_flag=True, help="Download every archive and hash it, too.")
@render.output_option
def check(  # noqa: PLR0917 - one parameter per option
    url: str, paths: tuple[str, ...], trusted: tuple[str, ...], pushed: Path | None, contents: bool, output: str
) -> int:
    """See that the cache at URL has what it should, signed.

    Each PATH has to be there with all it needs, signed by a key that is trusted.
    """
    from agentplane.caches.check import check_cache
    from agentplane.caches.keys import parse_public_key
    from agentplane.caches.pushed import read_pushed
    from agentplane.cli.asking import builtins

    roots = list(paths)
    if pushed is not None:
        known = read_pushed(pushed)
        roots += [known.source.path, *(each.spec.path for each in known.built), *(e.tree.path for e in known.inputs)]
    checked = check_cache(url, roots, tuple(map(parse_public_key, trusted)), contents=contents, progress=_progress)
    render.emit({"url": url, "paths": builtins(checked)}, output, lambda: _show(checked))
    done = "read and hashed" if contents else "described and signed"
    render.say(f"{url} answers" + (f"; {len(checked)} paths are {done}" if roots else ""), style="green")
    return 0


def _progress(number: int, of: int, path: str) -> None:
    render.say(f"reading {number}/{of} {path.removeprefix('/nix/store/')[33:]}")


def _show(checked: "tuple[Checked, ...]") -> None:
    if not checked:
        return
    rows = [(each.path, each.nar_bytes, each.signed_by) for each in checked]
    render.table(["store path", "bytes", "signed by"], rows, empty="")
