"""Keys on disk: the one place that opens, checks and creates key files. A shell around `keys`.

A private key that others can read is no longer private, so it is refused rather than used with a warning.
"""

import os
import stat
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from agentplane.durable import fsync_directory
from agentplane.errors import Conflict, NotFound, Refused
from agentplane.evidence.keys import CONTROL, Ed25519Signer, TrustedKeys, executor_identity, public_pem
from agentplane.ids import DNS_LABEL

_MAX_KEY_BYTES: Final = 10_000
_NKEY_LENGTH: Final = 56


def load_private_key(path: Path, *, credentials: Path | None = None) -> Ed25519PrivateKey:
    """Load an Ed25519 private key (PEM, PKCS #8, unencrypted) that only its owner can read.

    `credentials`: systemd's $CREDENTIALS_DIRECTORY. Where systemd grants access by ACL, a credential belongs to root
    and its mode shows the ACL's mask as group bits; a file directly in there is accepted like that.

    Raises:
        NotFound: code `evidence.key.missing`.
        Refused: codes `evidence.key.link`, `.file`, `.owner`, `.permissions`, `.type`.
    """
    data = _read_private(path, credentials)
    try:
        key = load_pem_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise _wrong_type(path, "an unencrypted PEM private key") from exc
    if not isinstance(key, Ed25519PrivateKey):
        raise _wrong_type(path, "an Ed25519 key")
    return key


def load_signer(path: Path, identity: str, *, credentials: Path | None = None) -> Ed25519Signer:
    """The signer of one identity, from its key file. Raises as `load_private_key`."""
    return Ed25519Signer(load_private_key(path, credentials=credentials), identity)


def load_public_key(path: Path) -> Ed25519PublicKey:
    """Load an Ed25519 public key (PEM).

    Raises:
        NotFound: code `evidence.key.missing`.
        Refused: codes `evidence.key.file`, `evidence.key.type`.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_KEY_BYTES)
        key = load_pem_public_key(data)
    except FileNotFoundError as exc:
        raise _missing(path) from exc
    except OSError as exc:
        raise Refused(f"cannot be read: {exc.strerror}", code="evidence.key.file", where=str(path)) from exc
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise _wrong_type(path, "a PEM public key") from exc
    if not isinstance(key, Ed25519PublicKey):
        raise _wrong_type(path, "an Ed25519 key")
    return key


def generate_key_pair(directory: Path, name: str) -> tuple[Path, Path]:
    """Create `<name>.key` (0600) and `<name>.pub` in a directory; answer both paths.

    The private key appears complete or not at all, and no existing key is ever replaced.

    Raises:
        Conflict: code `evidence.key.exists`.
        Refused: code `evidence.key.file`: the directory cannot be written.
    """
    private = Ed25519PrivateKey.generate()
    key_path, public_path = directory / f"{name}.key", directory / f"{name}.pub"
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _refuse_existing(public_path)
        _create(key_path, pem, 0o600)
        _create(public_path, public_pem(private.public_key()), 0o644)
    except FileExistsError as exc:
        raise Conflict(
            "a key is already there and is never replaced",
            code="evidence.key.exists",
            where=str(exc.filename2 or exc.filename),
            hint="use another name, or move the old key away yourself",
        ) from exc
    except OSError as exc:
        raise Refused(f"cannot be written: {exc.strerror}", code="evidence.key.file", where=str(directory)) from exc
    return key_path, public_path


def load_trusted_keys(directory: Path) -> TrustedKeys:
    """Trust `control*.pub` as control, and `executors/<name>.pub` and `executors/<name>.<any>.pub` as that executor.

    Raises:
        NotFound: code `evidence.key.missing`: no such directory, or no control key in it.
        Refused: codes `evidence.key.file`, `.type`, `.name`, `.shared`.
    """
    if not directory.is_dir():
        raise _missing(directory)
    keys: dict[str, tuple[Ed25519PublicKey, ...]] = {}
    control = sorted(directory.glob("control*.pub"))
    if not control:
        raise _missing(directory / "control.pub")
    keys[CONTROL] = tuple(load_public_key(path) for path in control)
    for path in sorted((directory / "executors").glob("*.pub")):
        name = path.stem.partition(".")[0]  # exec-a.2026.pub: a key that exec-a has besides, or had
        if not DNS_LABEL.fullmatch(name):
            raise Refused("not <executor name>.pub", code="evidence.key.name", where=str(path))
        identity = executor_identity(name)
        keys[identity] = (*keys.get(identity, ()), load_public_key(path))
    try:
        return TrustedKeys(keys)
    except ValueError as exc:
        raise Refused(str(exc), code="evidence.key.shared", where=str(directory)) from exc


def load_executor_nkeys(directory: Path) -> dict[str, str]:
    """The public bus keys in `executors/<name>.bus`, and whose each is; an executor that joined has none here.

    Raises:
        Refused: codes `evidence.key.file`, `.type`, `.name`.
    """
    found: dict[str, str] = {}
    for path in sorted((directory / "executors").glob("*.bus")):
        try:
            nkey = path.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as exc:
            raise Refused(f"cannot be read: {exc}", code="evidence.key.file", where=str(path)) from exc
        if not DNS_LABEL.fullmatch(path.stem):
            raise Refused("not <executor name>.bus", code="evidence.key.name", where=str(path))
        if len(nkey) != _NKEY_LENGTH or not nkey.startswith("U"):
            raise _wrong_type(path, "a public NATS user key (U…)")
        found[nkey] = path.stem
    return found


def _read_private(path: Path, credentials: Path | None) -> bytes:
    # The checks look at the opened file, not at the name: a name can be swapped between look and use.
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as exc:
        raise _missing(path) from exc
    except OSError as exc:
        if path.is_symlink():
            raise Refused(
                "a symbolic link", code="evidence.key.link", where=str(path), hint="name the key file itself"
            ) from exc
        raise Refused(f"cannot be opened: {exc.strerror}", code="evidence.key.file", where=str(path)) from exc
    try:
        found = os.fstat(descriptor)
        _check_file(path, found)
        if credentials is None or path.parent != credentials or not _is_credential(found):
            _check_owner(path, found)
        return os.read(descriptor, _MAX_KEY_BYTES)
    finally:
        os.close(descriptor)


def _check_file(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise Refused("not a file", code="evidence.key.file", where=str(path))
    if found.st_nlink != 1:
        raise Refused(
            "the file has another name as well (hard link)",
            code="evidence.key.link",
            where=str(path),
            hint="copy the key to a file of its own",
        )


def _is_credential(found: os.stat_result) -> bool:
    return found.st_uid == 0 and not found.st_mode & 0o337


def _check_owner(path: Path, found: os.stat_result) -> None:
    if found.st_uid != os.geteuid():
        raise Refused(
            f"belongs to user {found.st_uid}, not to user {os.geteuid()} who wants to sign with it",
            code="evidence.key.owner",
            where=str(path),
            hint=f"chown {os.geteuid()} {path}",
        )
    if found.st_mode & 0o077:
        raise Refused(
            f"others can read this private key (mode {stat.S_IMODE(found.st_mode):04o})",
            code="evidence.key.permissions",
            where=str(path),
            hint=f"chmod 600 {path}",
        )


def _refuse_existing(path: Path) -> None:
    if path.exists():
        raise FileExistsError(None, None, str(path))


def _create(path: Path, data: bytes, mode: int) -> None:
    # A link of a complete temporary file: unlike a rename it fails where something is already.
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)
    finally:
        temporary.unlink()
    fsync_directory(path.parent)


def _missing(path: Path) -> NotFound:
    return NotFound("no such key", code="evidence.key.missing", where=str(path), hint="agentplane doctor shows keys")


def _wrong_type(path: Path, wanted: str) -> Refused:
    return Refused(f"not {wanted}", code="evidence.key.type", where=str(path))
