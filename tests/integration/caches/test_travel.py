"""From a builder's store through a cache into another host's store: whole, signed by whom we trust, or not at all."""

import lzma
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from agentplane.caches.keys import PublicKey
from agentplane.caches.narinfo import hash_part
from agentplane.caches.pull import Pulled, Sources, pull
from agentplane.caches.push import push
from agentplane.caches.reader import open_cache
from agentplane.errors import AgentplaneError
from agentplane.runners.nix import environment
from agentplane.runs.model import StorePath
from tests.integration.caches.conftest import Signer, Store, call


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def pushed(builder: Store, cache: Path, signer: Signer) -> StorePath:
    bundle = builder.bundle()
    copied = push([bundle.path], cache.as_uri(), signer.file, environment(), store=builder.url)
    assert (copied.paths, copied.copied, copied.key) == (3, 3, signer.public)
    return bundle


def fetch(what: StorePath, into: Store, url: str, *trusted: PublicKey) -> Pulled:
    sources = Sources(caches=(open_cache(url),), trusted=trusted)
    return pull(what, sources, into.root / "staging", environment(), store=into.url)


def refused(what: StorePath, into: Store, url: str, *trusted: PublicKey) -> str:
    """The code; and that nothing at all is left in the store or beside it."""
    with pytest.raises(AgentplaneError) as raised:
        fetch(what, into, url, *trusted)
    assert raised.value.hint
    assert into.known() == set()
    assert not into.file(what.path).exists()
    assert list((into.root / "staging").glob("*")) == []
    return raised.value.code


def test_what_was_signed_arrives_whole(
    pushed: StorePath, builder: Store, other: Store, cache: Path, signer: Signer
) -> None:
    assert fetch(pushed, other, cache.as_uri(), signer.public).paths == 3
    assert other.known() == builder.known()
    assert other.file(pushed.path).read_bytes() == builder.file(pushed.path).read_bytes()
    assert call("nix-store", "--store", other.url, "--query", "--hash", pushed.path) == pushed.nar_hash
    assert call("nix-store", "--store", other.url, "--verify", "--check-contents") == ""


def test_it_comes_over_http_as_well(pushed: StorePath, other: Store, served: str, signer: Signer) -> None:
    assert fetch(pushed, other, served, signer.public).paths == 3
    assert fetch(pushed, other, served, signer.public).paths == 0


def test_it_is_pushed_over_http_as_well(builder: Store, other: Store, served: str, signer: Signer) -> None:
    bundle = builder.bundle()
    for copied in (3, 0):
        assert push([bundle.path], served, signer.file, environment(), store=builder.url).copied == copied
    assert fetch(bundle, other, served, signer.public).paths == 3


def test_only_what_is_missing_is_fetched(pushed: StorePath, other: Store, cache: Path, signer: Signer) -> None:
    needed = next(path for path in _paths(cache) if path.endswith("-needed"))
    info = _narinfo(cache, needed)
    only = StorePath(path=needed, nar_hash=_field(info, "NarHash"))
    assert fetch(only, other, cache.as_uri(), signer.public).paths == 1
    assert fetch(pushed, other, cache.as_uri(), signer.public).paths == 2


def test_nix_would_have_refused_it_too(pushed: StorePath, other: Store, cache: Path) -> None:
    """Our own check is not the only one: without a trusted key Nix takes nothing that is not content-addressed."""
    info = _narinfo(cache, pushed.path)
    info.write_text("".join(line for line in info.read_text().splitlines(keepends=True) if not line.startswith("CA")))
    with pytest.raises(Exception, match="returned non-zero"):
        call("nix", "copy", "--from", cache.as_uri(), "--to", other.url, pushed.path)


def test_unsigned_is_refused(builder: Store, other: Store, cache: Path, signer: Signer) -> None:
    bundle = builder.bundle()
    call("nix", "copy", "--from", builder.url, "--to", cache.as_uri(), bundle.path)
    assert refused(bundle, other, cache.as_uri(), signer.public) == "cache.unsigned"


def test_signed_by_somebody_unknown_is_refused(pushed: StorePath, other: Store, cache: Path, stranger: Signer) -> None:
    assert refused(pushed, other, cache.as_uri(), stranger.public) == "cache.unknown-key"
    assert refused(pushed, other, cache.as_uri()) == "cache.unknown-key"


def test_a_second_signature_is_added_to_what_is_there(
    pushed: StorePath, builder: Store, other: Store, cache: Path, stranger: Signer
) -> None:
    push([pushed.path], cache.as_uri(), stranger.file, environment(), store=builder.url)
    assert fetch(pushed, other, cache.as_uri(), stranger.public).paths == 3


def test_other_content_than_the_run_pinned_is_refused(
    pushed: StorePath, other: Store, cache: Path, signer: Signer
) -> None:
    pinned = StorePath(path=pushed.path, nar_hash="sha256:" + "0" * 52)
    assert refused(pinned, other, cache.as_uri(), signer.public) == "cache.pin"


def test_a_cache_that_is_away_or_empty(
    pushed: StorePath, other: Store, tmp_path: Path, served: str, signer: Signer
) -> None:
    assert refused(pushed, other, (tmp_path / "nowhere").as_uri(), signer.public) == "cache.unreachable"
    assert refused(pushed, other, "http://127.0.0.1:1", signer.public) == "cache.unreachable"
    assert refused(pushed, other, f"{served}/nowhere", signer.public) == "cache.absent"


def _paths(cache: Path) -> list[str]:
    return [_field(info, "StorePath") for info in cache.glob("*.narinfo")]


def _narinfo(cache: Path, path: str) -> Path:
    return cache / f"{hash_part(path)}.narinfo"


def _field(info: Path, name: str) -> str:
    return next(line.partition(": ")[2] for line in info.read_text().splitlines() if line.startswith(f"{name}: "))


def _set(info: Path, name: str, value: str) -> None:
    lines = [f"{name}: {value}" if line.startswith(f"{name}: ") else line for line in info.read_text().splitlines()]
    info.write_text("\n".join(lines) + "\n")


def _archive(cache: Path, path: str, change: Callable[[bytes], bytes]) -> None:
    archive = cache / _field(_narinfo(cache, path), "URL")
    archive.write_bytes(change(archive.read_bytes()))


def _recompressed(change: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    return lambda data: lzma.compress(change(lzma.decompress(data)))


Lie = Callable[[Path, str, str], object]
LIES: dict[str, tuple[Lie, str]] = {
    "a flipped byte in the archive": (
        lambda cache, path, _: _archive(cache, path, _recompressed(lambda nar: nar.replace(b"what", b"whit"))),
        "cache.nar-hash",
    ),
    "a flipped byte in the compressed archive": (
        lambda cache, path, _: _archive(cache, path, lambda data: data[:30] + bytes([data[30] ^ 1]) + data[31:]),
        "cache.corrupt",
    ),
    "another NAR hash": (
        lambda cache, path, _: _set(_narinfo(cache, path), "NarHash", "sha256:" + "1" * 52),
        "cache.signature",
    ),
    "another size": (lambda cache, path, _: _set(_narinfo(cache, path), "NarSize", "7"), "cache.signature"),
    "other references": (
        lambda cache, path, other: _set(_narinfo(cache, path), "References", other.removeprefix("/nix/store/")),
        "cache.signature",
    ),
    "the right signature of another path": (
        lambda cache, path, other: _set(_narinfo(cache, path), "Sig", _field(_narinfo(cache, other), "Sig")),
        "cache.signature",
    ),
    "another path's whole description": (
        lambda cache, path, other: _narinfo(cache, path).write_text(_narinfo(cache, other).read_text()),
        "cache.narinfo",
    ),
    "a truncated archive": (lambda cache, path, _: _archive(cache, path, lambda data: data[:-10]), "cache.truncated"),
    "a truncated description": (
        lambda cache, path, _: _narinfo(cache, path).write_text(_narinfo(cache, path).read_text()[:60]),
        "cache.narinfo",
    ),
    "a bomb": (
        lambda cache, path, _: _archive(cache, path, lambda _: lzma.compress(bytes(64 << 20))),
        "cache.oversized",
    ),
    "a description without end": (
        lambda cache, path, _: _narinfo(cache, path).write_bytes(b"x" * (1 << 20)),
        "cache.narinfo",
    ),
    "an archive that is gone": (
        lambda cache, path, _: (cache / _field(_narinfo(cache, path), "URL")).unlink(),
        "cache.absent",
    ),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_cache_that_lies(  # noqa: PLR0917 - fixtures
    lie: str, pushed: StorePath, other: Store, cache: Path, served: str, signer: Signer
) -> None:
    tell, code = LIES[lie]
    needed = next(path for path in _paths(cache) if path.endswith("-needed"))
    also = next(path for path in _paths(cache) if path.endswith("-also"))
    tell(cache, needed, also)
    assert refused(pushed, other, cache.as_uri(), signer.public) == code
    assert refused(pushed, other, served, signer.public) == code


def test_an_honest_cache_behind_a_lying_one_serves(
    pushed: StorePath, other: Store, cache: Path, tmp_path: Path, signer: Signer
) -> None:
    lying = tmp_path / "lying"
    shutil.copytree(cache, lying)
    needed = next(path for path in _paths(cache) if path.endswith("-needed"))
    _archive(lying, needed, lambda data: data[:-10])
    heard: list[str] = []
    sources = Sources(caches=(open_cache(lying.as_uri()), open_cache(cache.as_uri())), trusted=(signer.public,))
    pulled = pull(
        pushed,
        sources,
        other.root / "staging",
        environment(),
        store=other.url,
        complain=lambda error: heard.append(error.code),
    )
    assert pulled.paths == 3
    assert heard == ["cache.truncated"]


@pytest.mark.parametrize("spoil", ["malformed", "readable", "absent"])
def test_a_key_file_that_is_unfit_signs_nothing(spoil: str, builder: Store, cache: Path, signer: Signer) -> None:
    if spoil == "malformed":
        signer.file.write_text("builder-1:AAAA")
    elif spoil == "readable":
        signer.file.chmod(0o644)
    else:
        signer.file.unlink()
    with pytest.raises(AgentplaneError) as raised:
        push([builder.bundle().path], cache.as_uri(), signer.file, environment(), store=builder.url)
    assert raised.value.code == ("cache.key" if spoil == "malformed" else "cache.key-file")
    assert not cache.exists()
