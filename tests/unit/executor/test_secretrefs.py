import os
from pathlib import Path

import pytest

from agentplane import secretrefs
from agentplane.errors import AgentplaneError, Refused


def place(directory: Path, relative: str, value: bytes = b"s3cret", mode: int = 0o600) -> Path:
    path = directory / relative
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(value)
    path.chmod(mode)
    return path


def test_a_reference_is_a_path_below_the_secrets_directory(tmp_path: Path) -> None:
    place(tmp_path, "user/TOKEN_FILE", b"abc")
    place(tmp_path, "PLAIN", b"def")
    assert secretrefs.resolve(tmp_path, "secrets://user", ("TOKEN_FILE",)) == {"TOKEN_FILE": b"abc"}
    assert secretrefs.resolve(tmp_path, None, ("PLAIN",)) == {"PLAIN": b"def"}


@pytest.mark.parametrize("root", ["https://elsewhere", "secrets://../etc", "secrets://a/./b", "/etc", "secrets://a\0"])
def test_a_root_that_is_not_plain_is_refused(root: str) -> None:
    with pytest.raises(Refused) as caught:
        secretrefs.parse_reference(root, "TOKEN")
    assert caught.value.code == "secret.reference"


@pytest.mark.parametrize("name", ["../shadow", "a/b", "", ".hidden", "x\0", "a" * 200])
def test_a_name_that_is_not_plain_is_refused(name: str) -> None:
    with pytest.raises(Refused):
        secretrefs.parse_reference(None, name)


def test_a_missing_secret_is_named_but_never_its_directory(tmp_path: Path) -> None:
    with pytest.raises(AgentplaneError) as caught:
        secretrefs.resolve(tmp_path, "secrets://user", ("TOKEN",))
    assert caught.value.code == "secret.missing"
    assert "secrets://user/TOKEN" in str(caught.value)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o602])
def test_a_secret_that_others_may_touch_is_denied_and_not_offered(tmp_path: Path, mode: int) -> None:
    place(tmp_path, "TOKEN", mode=mode)
    with pytest.raises(AgentplaneError) as caught:
        secretrefs.resolve(tmp_path, None, ("TOKEN",))
    assert caught.value.code == "secret.permissions"
    assert "s3cret" not in str(caught.value)
    assert secretrefs.available(tmp_path) == ()


def test_links_are_not_followed_out_of_the_directory(tmp_path: Path) -> None:
    outside = place(tmp_path / "outside", "SHADOW")
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "TOKEN").symlink_to(outside)
    (inside / "dir").symlink_to(outside.parent)
    for root, name in ((None, "TOKEN"), ("secrets://dir", "SHADOW")):
        with pytest.raises(AgentplaneError) as caught:
            secretrefs.resolve(inside, root, (name,))
        assert caught.value.code == "secret.unreadable"
    assert secretrefs.available(inside) == ()


def test_a_pipe_in_a_secrets_place_neither_hangs_nor_passes(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "TOKEN", 0o600)
    with pytest.raises(AgentplaneError) as caught:
        secretrefs.resolve(tmp_path, None, ("TOKEN",))
    assert caught.value.code == "secret.permissions"


def test_a_secret_larger_than_the_cap_is_refused(tmp_path: Path) -> None:
    place(tmp_path, "TOKEN", b"x" * (secretrefs.MAX_SECRET_BYTES + 1))
    with pytest.raises(Refused) as caught:
        secretrefs.resolve(tmp_path, None, ("TOKEN",))
    assert caught.value.code == "secret.too-large"


def test_what_is_offered_can_be_delivered(tmp_path: Path) -> None:
    place(tmp_path, "user/B")
    place(tmp_path, "A")
    place(tmp_path, "loose", mode=0o644)
    assert secretrefs.available(tmp_path) == ("A", "B")
    assert secretrefs.available(None) == ()
