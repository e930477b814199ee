"""A cache in memory, and paths that a key of ours signed."""

import base64
import hashlib
import lzma
from collections.abc import Iterator

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace

from agentplane.caches.keys import PublicKey, parse_public_key, public_part, secret_text
from agentplane.caches.narinfo import NarInfo, hash_part
from agentplane.errors import AgentplaneError, NotFound
from agentplane.runners.nar import base32

SEED = b"s" * 32
SECRET = secret_text("ours-1", SEED)
OURS = public_part(SECRET)
OTHER_SEED = b"o" * 32
THEIRS = public_part(secret_text("theirs-1", OTHER_SEED))


def path(letter: str, name: str = "thing") -> str:
    return f"/nix/store/{letter * 32}-{name}"


def sign(info: NarInfo, *, name: str = "ours-1", seed: bytes = SEED) -> NarInfo:
    signature = Ed25519PrivateKey.from_private_bytes(seed).sign(info.fingerprint)
    return replace(info, signatures=(*info.signatures, f"{name}:{base64.b64encode(signature).decode()}"))


def info_of(store_path: str, nar: bytes, *references: str, compression: str = "xz") -> NarInfo:
    """A description that is right, unsigned."""
    return NarInfo(
        store_path=store_path,
        url=f"nar/{hash_part(store_path)}.nar",
        compression=compression,
        nar_hash=f"sha256:{base32(hashlib.sha256(nar).digest())}",
        nar_size=len(nar),
        references=tuple(sorted(references)),
        signatures=(),
    )


def text(info: NarInfo) -> bytes:
    lines = [
        f"StorePath: {info.store_path}",
        f"URL: {info.url}",
        f"Compression: {info.compression}",
        f"NarHash: {info.nar_hash}",
        f"NarSize: {info.nar_size}",
        f"References: {' '.join(each.removeprefix('/nix/store/') for each in info.references)}",
        *(f"Sig: {signature}" for signature in info.signatures),
    ]
    return ("\n".join(lines) + "\n").encode()


class MemoryCache:
    """Files by name; `away` is what every reading raises."""

    def __init__(self, url: str = "http://cache", away: AgentplaneError | None = None) -> None:
        self.url = url
        self.files: dict[str, bytes] = {}
        self.away = away
        self.asked: list[str] = []

    def put(self, info: NarInfo, nar: bytes) -> None:
        self.files[f"{hash_part(info.store_path)}.narinfo"] = text(info)
        self.files[info.url] = lzma.compress(nar) if info.compression == "xz" else nar

    def get(self, name: str, limit_bytes: int) -> bytes:
        return b"".join(self.chunks(name))[: limit_bytes + 1]

    def chunks(self, name: str) -> Iterator[bytes]:
        self.asked.append(name)
        if self.away is not None:
            raise self.away
        if name not in self.files:
            raise NotFound("no", code="cache.absent", where=self.url)
        data = self.files[name]
        for start in range(0, len(data), 1000):
            yield data[start : start + 1000]


def key(text_: str) -> PublicKey:
    return parse_public_key(text_)
