"""Evidence records as the commands open them: every signature verified, by keys that somebody here trusts."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from agentplane.cli import context as contexts
from agentplane.errors import Refused

if TYPE_CHECKING:
    from agentplane.evidence.keys import TrustedKeys
    from agentplane.evidence.record import Record
    from agentplane.projections.evidence import EvidenceRow


def trusted_keys(ctx: click.Context, keys: Path | None) -> "TrustedKeys":
    """The public keys in a directory, else those of this agentplane. Raises Refused, code `evidence.key.missing`."""
    from agentplane.evidence.edge import load_trusted_keys

    if keys is not None:
        return load_trusted_keys(keys)
    try:
        return load_trusted_keys(Path(contexts.current(ctx).trusted_keys_dir))
    except Refused as error:
        if error.code != "context.missing":
            raise
        hint = "--keys DIR with control.pub and executors/<name>.pub, from somebody you trust and not from the export"
        raise Refused("no keys to trust", code="evidence.key.missing", hint=hint) from error


def opened(row: "EvidenceRow", trusted: "TrustedKeys") -> "Record":
    """The record in a row, its signature verified. Raises Tampered."""
    from agentplane.evidence.dsse import envelope_bytes
    from agentplane.evidence.record import open_record

    return open_record(envelope_bytes(row.envelope), trusted)
