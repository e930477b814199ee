"""NKEY seeds: a user's private key on disk (0600) and its public name. The seed never leaves its file.

Format: NATS nkeys, base32 of prefix, 32 bytes of Ed25519 seed and CRC-16. A seed starts with `SU`, a public key
with `U`.
"""

import contextlib
import os
import secrets
from pathlib import Path

import nkeys

from agentplane.errors import Broken, Denied


def create_seed_file(path: Path) -> str:
    """Make a new user key unless the file exists; answer its public key.

    Raises:
        Broken: code `nkey.unwritable`. Denied: as `public_key`.
    """
    _create(path, nkeys.PREFIX_BYTE_USER)
    return public_key(path)


def create_account_seed_file(path: Path) -> None:
    """Make an account key, which signs who may connect, unless there is one. Raises Broken (`nkey.unwritable`)."""
    _create(path, nkeys.PREFIX_BYTE_ACCOUNT)


def _create(path: Path, prefix: int) -> None:
    seed = nkeys.encode_seed(secrets.token_bytes(32), prefix)
    with contextlib.suppress(FileExistsError):
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise
        except OSError as exc:
            raise Broken(f"cannot write the key: {exc.strerror}", code="nkey.unwritable", where=str(path)) from exc
        with os.fdopen(descriptor, "wb") as file:
            file.write(bytes(seed) + b"\n")
            file.flush()
            os.fsync(file.fileno())


def read_seed(path: Path) -> bytearray:
    """The seed, for signing; the caller wipes it.

    Raises:
        Denied: code `nkey.unreadable`, `nkey.mode` (others may read it).
    """
    try:
        mode = path.stat().st_mode
        seed = bytearray(path.read_bytes().strip())
    except OSError as exc:
        raise Denied(
            f"cannot read the key: {exc.strerror}",
            code="nkey.unreadable",
            where=str(path),
            hint="agentplane doctor shows keys; under systemd LoadCredential= says where it comes from",
        ) from exc
    if mode & 0o077:
        raise Denied("others may read this key", code="nkey.mode", where=str(path), hint=f"chmod 600 {path}")
    return seed


def sign(path: Path, data: bytes) -> bytes:
    """An Ed25519 signature by a user's seed file. Raises Denied: as `public_key`."""
    try:
        pair = nkeys.from_seed(read_seed(path))
        signature = bytes(pair.sign(data))
        pair.wipe()
    except (nkeys.NkeysError, ValueError, TypeError, IndexError) as exc:
        raise Denied("this is not a NATS user seed", code="nkey.malformed", where=str(path)) from exc
    return signature


def public_key(path: Path) -> str:
    """The public key (`U…`) of a seed file.

    Raises:
        Denied: as `read_seed`; code `nkey.malformed`.
    """
    seed = read_seed(path)
    try:
        pair = nkeys.from_seed(seed)
        name: str = pair.public_key.decode()
        pair.wipe()
    except (nkeys.NkeysError, ValueError, TypeError, IndexError) as exc:
        raise Denied(
            "this is not a NATS user seed", code="nkey.malformed", where=str(path), hint="it starts with SU"
        ) from exc
    return name
