"""Where the command line finds its agentplane: a context file that the stack (or an operator) wrote."""

import getpass
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from agentplane.bus.tls import Tls
from agentplane.errors import Broken, Refused

if TYPE_CHECKING:
    from agentplane.bus.nats import NatsBus

FILE_NAME = "context.json"


class Context(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a person reaches the control plane."""

    tenant: str  # whose runs these are
    servers: tuple[str, ...]  # as `nats.servers` of the daemons
    nkey_seed_file: str | None  # the seed of this person, mode 0600
    trusted_keys_dir: str  # public keys that evidence is verified with
    tls: Tls | None = None  # as `nats.tls` of the daemons
    allow_plaintext: bool = False  # as `nats.allow_plaintext` of the daemons


def state_dir(ctx: click.Context) -> Path:
    """`--state-dir`, else .agentplane in this or a parent directory, else ~/.local/state/agentplane."""
    if given := (ctx.find_root().obj or {}).get("state_dir"):
        return Path(given).absolute()
    here = Path.cwd()
    for directory in (here, *here.parents):
        if (directory / ".agentplane" / FILE_NAME).exists():
            return directory / ".agentplane"
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "agentplane"


def current(ctx: click.Context) -> Context:
    """How this command reaches the control plane. Raises as `load_context`."""
    return load_context(state_dir(ctx))


def load_context(directory: Path) -> Context:
    """Read the context file.

    Raises:
        Refused: `context.missing` (no stack here), `context.invalid`.
        Broken: `context.unreadable`: it belongs to another user.
    """
    path = directory / FILE_NAME
    try:
        return msgspec.json.decode(path.read_bytes(), type=Context)
    except FileNotFoundError:
        raise Refused(
            f"there is no agentplane in {directory}",
            code="context.missing",
            hint="start one with `agentplane stack up`, or name its directory with --state-dir",
        ) from None
    except PermissionError:
        raise Broken(
            f"{path} belongs to another user", code="context.unreadable", hint="use a --state-dir of your own"
        ) from None
    except (OSError, msgspec.MsgspecError, json.JSONDecodeError) as exc:
        raise Refused(f"{path} is not a context file: {exc}", code="context.invalid") from exc


@asynccontextmanager
async def connected(context: Context) -> AsyncIterator["NatsBus"]:
    """A bus connection as the person that the context describes. Raises Transient when the bus is away."""
    from agentplane.bus.nats import NatsBus

    seed = Path(context.nkey_seed_file) if context.nkey_seed_file else None
    bus = await NatsBus.connect(
        context.servers,
        nkey_seed_file=seed,
        name=f"cli-{getpass.getuser()}",
        tls=context.tls,
        allow_plaintext=context.allow_plaintext,
    )
    try:
        yield bus
    finally:
        await bus.close()


def actor() -> str:
    """Who asks: the account on this machine, as an event's actor."""
    return f"user:{getpass.getuser()}"
