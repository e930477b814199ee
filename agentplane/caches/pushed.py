"""What a push printed, and what a run needs to know of it: pinned paths, for `agentplane run --pushed FILE`."""

from pathlib import Path
from typing import Final

import msgspec

from agentplane.errors import Refused
from agentplane.runs.model import Built, Input, StorePath, Wire

_MAX_BYTES: Final = 1 << 20
# What `spec.vm.backendIntent` can be run as, of what the guest kit builds.
BACKENDS: Final[dict[str, tuple[str, ...]]] = {
    "microvm": ("microvm",),
    "lima-process": ("process",),
    "fleet": ("microvm", "process"),
}


class Pushed(Wire, frozen=True, kw_only=True):
    """A bundle whose source, guests and inputs lie signed in a cache."""

    bundle: str  # "<name>@<version>"
    source: StorePath
    built: tuple[Built, ...]
    inputs: tuple[Input, ...]
    cache: str
    public_key: str  # "name:base64", for bundles.trusted_public_keys
    paths: int  # of all closures together
    copied: int  # of them, those that the cache did not have


def read_pushed(path: Path) -> Pushed:
    """What `agentplane bundle push -o json` printed. Raises Refused: code `bundle.pushed`."""
    try:
        with path.open("rb") as file:
            return msgspec.json.decode(file.read(_MAX_BYTES), type=Pushed)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as exc:
        hint = "keep the output of: agentplane bundle push BUNDLE --to URL --key-file FILE -o json"
        raise Refused(f"not what a push printed: {exc}", code="bundle.pushed", where=str(path), hint=hint) from exc


def built_for(pushed: Pushed, source: StorePath, where: str) -> tuple[Built, ...]:
    """The pushed guests of this very source. Raises Refused: code `bundle.pushed-other`; `where` names the push."""
    if pushed.source != source:
        raise Refused(
            f"it is about {pushed.source.path}, and the bundle is {source.path} now",
            code="bundle.pushed-other",
            where=where,
            hint="the bundle has changed since, or is another one: push it again",
        )
    return pushed.built
