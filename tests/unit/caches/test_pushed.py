"""What a push printed binds a run to that very bundle."""

from pathlib import Path

import msgspec
import pytest

from agentplane.caches.pushed import Pushed, built_for, read_pushed
from agentplane.errors import Refused
from agentplane.runs.model import Built, StorePath
from tests.unit.caches.samples import path

SOURCE = StorePath(path=path("a", "bundle-demo"), nar_hash="sha256:" + "0" * 52)
GUEST = Built(backend="microvm", spec=StorePath(path=path("b", "demo-guest.json"), nar_hash="sha256:" + "1" * 52))
PUSHED = Pushed(
    bundle="demo@1.0.0",
    source=SOURCE,
    built=(GUEST,),
    inputs=(),
    cache="file:///c",
    public_key="k:A",
    paths=5,
    copied=5,
)


def test_it_reads_what_was_printed(tmp_path: Path) -> None:
    (tmp_path / "pushed.json").write_bytes(msgspec.json.encode(PUSHED))
    assert read_pushed(tmp_path / "pushed.json") == PUSHED
    assert built_for(PUSHED, SOURCE, "here") == (GUEST,)


def test_a_bundle_that_has_changed_since_is_refused() -> None:
    with pytest.raises(Refused) as refused:
        built_for(PUSHED, StorePath(path=SOURCE.path, nar_hash="sha256:" + "2" * 52), "here")
    assert refused.value.code == "bundle.pushed-other"


@pytest.mark.parametrize("text", ["", "{}", "[]", "\x00", '{"source": 1}'])
def test_what_no_push_printed_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "pushed.json").write_text(text)
    with pytest.raises(Refused) as refused:
        read_pushed(tmp_path / "pushed.json")
    assert refused.value.code == "bundle.pushed"
    with pytest.raises(Refused):
        read_pushed(tmp_path / "nowhere.json")
