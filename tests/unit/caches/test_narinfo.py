"""What a cache says is parsed strictly."""

import pytest

from agentplane.caches.narinfo import MAX_NARINFO_BYTES, parse_narinfo, staged_narinfo
from agentplane.errors import Refused
from tests.unit.caches.samples import info_of, path, sign, text

GOOD = sign(info_of(path("a"), b"nar", path("b"), path("a")))


def test_what_is_right_is_read() -> None:
    assert parse_narinfo(text(GOOD), path("a"), "here") == GOOD


def test_a_staged_description_says_the_same_of_an_archive_that_is_not_compressed() -> None:
    staged = parse_narinfo(staged_narinfo(GOOD, "nar/x.nar").encode(), path("a"), "here")
    assert (staged.compression, staged.url) == ("none", "nar/x.nar")
    assert staged.fingerprint == GOOD.fingerprint
    assert staged.signatures == GOOD.signatures


@pytest.mark.parametrize(
    "spoiled",
    [
        b"",
        b"\xff\xfe",
        b"StorePath\n",
        b"x" * (MAX_NARINFO_BYTES + 1),
        text(GOOD).replace(b"aaaa-thing\nURL", b"aaaa-other\nURL"),
        text(GOOD).replace(b"NarSize: 3", b"NarSize: -3"),
        text(GOOD).replace(b"NarSize: 3", b"NarSize: 1e9"),
        text(GOOD).replace(b"sha256:", b"md5:"),
        text(GOOD).replace(b"URL: nar/", b"URL: ../../"),
        text(GOOD).replace(b"URL: nar/", b"URL: http://elsewhere/"),
        text(GOOD).replace(b"URL: nar/", b"URL: /etc/"),
        text(GOOD).replace(b"References: ", b"References: ../../etc/passwd "),
        text(GOOD).replace(b"References: ", b"References: x"),
        text(GOOD) + b"NarSize: 4\n",
        text(GOOD) + b"Sig: a:b\n" * 20,
        text(GOOD).replace(b"NarHash", b"NarHush"),
    ],
)
def test_what_is_not_is_refused(spoiled: bytes) -> None:
    with pytest.raises(Refused) as refused:
        parse_narinfo(spoiled, path("a"), "here")
    assert refused.value.code == "cache.narinfo"
