"""Everything a guest is made of still holds what was registered: hashed before each start, without calling Nix.

A spec names its kernel, initrd and image by store path, and a path made by a build says nothing about its content. So
the hashes of the whole closure, as Nix registered them when it was built here or imported with a trusted signature,
are kept beside the other records, and what is on disk is hashed against them.
"""

import base64
import binascii
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from agentplane.errors import Broken, NotFound, Tampered
from agentplane.runners.command import run
from agentplane.runners.nar import base32, nar_hash
from agentplane.runs.model import StorePath

_QUERY_TIMEOUT_S: Final = 60.0
_HINT: Final = "nix-store --repair-path PATH mends one; find out who changed it"


def verify_closure(root: str, records: Path, environment: Mapping[str, str]) -> tuple[StorePath, ...]:
    """Hash a path and all it needs; answers what it is made of. `records`: a directory of ours.

    Raises:
        NotFound: code `store.missing`: a part of it is gone.
        Tampered: code `store.hash`: a part holds something else than what was built or signed.
        Broken: code `store.query`: Nix cannot say.
    """
    record = records / f"closure-{Path(root).name[:32]}.json"
    try:
        known = msgspec.json.decode(record.read_bytes(), type=tuple[StorePath, ...])
        _verify(known)
    except (OSError, msgspec.DecodeError, Tampered, NotFound):
        # Not remembered; or collected since, and made or fetched anew. Nix knows what counts now.
        known = registered(root, environment)
        _verify(known)
        _remember(record, known)
    return known


def registered(root: str, environment: Mapping[str, str]) -> tuple[StorePath, ...]:
    """A path and all it needs, each with the hash that Nix registered. Raises NotFound, Broken: see above."""
    argv = ["nix", "path-info", "--json", "--recursive", root]
    told = run(argv, timeout_s=_QUERY_TIMEOUT_S, environment=environment, check=False)
    if told.status != 0:
        hint = "it is fetched or built again when it is next needed"
        raise NotFound(f"{root} is not whole in this host's store", code="store.missing", hint=hint)
    try:
        return tuple(sorted(map(_entry, _listed(msgspec.json.decode(told.stdout))), key=lambda entry: entry.path))
    except (msgspec.DecodeError, KeyError, TypeError, ValueError) as exc:
        raise Broken(f"`nix path-info` says what is not understood: {exc}", code="store.query") from exc


def _listed(document: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - JSON of Nix
    """A list up to Nix 2.18, an object by path since."""
    if isinstance(document, dict):
        return [{"path": path, **info} for path, info in document.items()]
    return list(document)


def _entry(info: dict[str, Any]) -> StorePath:
    algorithm, _, digest = str(info["narHash"]).partition("-")
    try:
        data = base64.b64decode(digest, validate=True)
    except binascii.Error as exc:
        raise ValueError(info["narHash"]) from exc
    if algorithm != "sha256":
        raise ValueError(info["narHash"])
    return StorePath(path=info["path"], nar_hash=f"sha256:{base32(data)}")


def _verify(parts: tuple[StorePath, ...]) -> None:
    for part in parts:
        try:
            found = nar_hash(Path(part.path))
        except OSError as exc:
            said = f"{part.path} cannot be read: {exc.strerror}"
            raise NotFound(said, code="store.missing", hint=_HINT) from exc
        if found != part.nar_hash:
            said = f"{part.path} hashes to {found}, registered was {part.nar_hash}"
            raise Tampered(said, code="store.hash", hint=_HINT)


def _remember(record: Path, known: tuple[StorePath, ...]) -> None:
    record.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = record.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_bytes(msgspec.json.encode(known))
    temporary.rename(record)
