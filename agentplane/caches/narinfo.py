"""What a binary cache says about one store path, strictly parsed. Pure; nothing in it is true before it is verified.

Format: Nix manual, "HTTP Binary Cache Store" (`.narinfo`); the fingerprint is that of `nix store sign`.
"""

import re
from typing import Final

import msgspec

from agentplane.errors import Refused
from agentplane.guests.spec import STORE_PATH

MAX_NARINFO_BYTES: Final = 256 << 10
MAX_SIGNATURES: Final = 16
MAX_REFERENCES: Final = 2000
_STORE_DIR: Final = "/nix/store"
_NAR_HASH: Final = re.compile(r"sha256:[0-9abcdfghijklmnpqrsvwxyz]{52}")
_URL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+=-]*(/[A-Za-z0-9][A-Za-z0-9._+=-]*)*(\?[A-Za-z0-9=&._-]*)?")
_SIZE: Final = re.compile(r"[0-9]{1,15}")


class NarInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One path as a cache describes it."""

    store_path: str
    url: str  # of the archive, relative to the cache; not signed
    compression: str  # not signed
    nar_hash: str  # "sha256:<base 32>"
    nar_size: int  # bytes
    references: tuple[str, ...]  # store paths, sorted; may name the path itself
    signatures: tuple[str, ...]  # "name:base64"

    @property
    def fingerprint(self) -> bytes:
        """What a signature is about."""
        return f"1;{self.store_path};{self.nar_hash};{self.nar_size};{','.join(self.references)}".encode()


def hash_part(store_path: str) -> str:
    """The 32 characters that name a path in a cache."""
    return store_path.removeprefix(f"{_STORE_DIR}/")[:32]


def narinfo_name(store_path: str) -> str:
    """Where a cache describes a path."""
    return f"{hash_part(store_path)}.narinfo"


def parse_narinfo(data: bytes, wanted: str, where: str) -> NarInfo:
    """The description of the path `wanted`; `where` names the cache in errors.

    Raises:
        Refused: code `cache.narinfo`: malformed, beyond all bounds, or about another path.
    """
    if len(data) > MAX_NARINFO_BYTES:
        raise _refuse(where, wanted, f"more than {MAX_NARINFO_BYTES} bytes")
    fields, signatures = _fields(data, wanted, where)
    try:
        info = NarInfo(
            store_path=fields["StorePath"],
            url=fields["URL"],
            compression=fields.get("Compression", "bzip2") or "bzip2",
            nar_hash=fields["NarHash"],
            nar_size=int(fields["NarSize"]) if _SIZE.fullmatch(fields["NarSize"]) else -1,
            references=tuple(sorted(f"{_STORE_DIR}/{name}" for name in fields.get("References", "").split())),
            signatures=signatures,
        )
    except KeyError as exc:
        raise _refuse(where, wanted, f"it has no {exc.args[0]}") from None
    _check(info, wanted, where)
    return info


def staged_narinfo(info: NarInfo, url: str) -> str:
    """The same description of an archive that lies uncompressed at `url`."""
    names = " ".join(path.removeprefix(f"{_STORE_DIR}/") for path in info.references)
    lines = [
        f"StorePath: {info.store_path}",
        f"URL: {url}",
        "Compression: none",
        f"NarHash: {info.nar_hash}",
        f"NarSize: {info.nar_size}",
        f"References: {names}",
        *(f"Sig: {signature}" for signature in info.signatures),
    ]
    return "\n".join(lines) + "\n"


def _fields(data: bytes, wanted: str, where: str) -> tuple[dict[str, str], tuple[str, ...]]:
    fields: dict[str, str] = {}
    signatures: list[str] = []
    try:
        lines = data.decode("ascii").splitlines()
    except UnicodeDecodeError:
        raise _refuse(where, wanted, "not ASCII text") from None
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not line.isprintable():
            raise _refuse(where, wanted, f"not a field: {line[:80]!a}")
        if name == "Sig":
            signatures.append(value.strip())
        elif name in fields:
            raise _refuse(where, wanted, f"{name[:40]} stands there twice")
        else:
            fields[name] = value.strip()
    return fields, tuple(signatures)


def _check(info: NarInfo, wanted: str, where: str) -> None:
    if info.store_path != wanted:
        raise _refuse(where, wanted, f"it is about another path, {info.store_path[:120]!a}")
    if not _NAR_HASH.fullmatch(info.nar_hash):
        raise _refuse(where, wanted, "NarHash is not sha256 in base 32")
    if info.nar_size < 0:
        raise _refuse(where, wanted, "NarSize is not a size")
    if not _URL.fullmatch(info.url):
        raise _refuse(where, wanted, "its URL leads out of the cache, or is none")
    if len(info.references) > MAX_REFERENCES or len(info.signatures) > MAX_SIGNATURES:
        raise _refuse(where, wanted, "too many references or signatures")
    for path in info.references:
        if not STORE_PATH.fullmatch(path) or path.count("/") != wanted.count("/"):
            raise _refuse(where, wanted, "a reference is not a store path")


def _refuse(where: str, wanted: str, reason: str) -> Refused:
    hint = "ask who runs the cache; push the path again to mend it"
    return Refused(f"what it says about {wanted} is unusable: {reason}", code="cache.narinfo", where=where, hint=hint)
