"""The mirror's files hold exactly the log's events, whatever happened to the writer."""

import json
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentplane.errors import Conflict
from agentplane.events.model import StoredEvent
from agentplane.mirror.directory import Mirror
from agentplane.mirror.lines import Form, lines
from agentplane.mirror.position import NAME
from tests.unit.mirror.made import history

Files = dict[str, bytes]


def expected(events: tuple[StoredEvent, ...], form: Form = Form.CLOUDEVENTS) -> Files:
    return {path: bytes(data) for path, data in lines(events, form).items()}


def contents(directory: Path) -> Files:
    found = sorted(each for each in directory.rglob("*.jsonl"))
    return {str(each.relative_to(directory)): each.read_bytes() for each in found}


def written(directory: Path, events: tuple[StoredEvent, ...], *, batch: int = 7, form: Form = Form.CLOUDEVENTS) -> None:
    """A writer's whole life: from where it finds the directory to the end of the log."""
    mirror = Mirror(directory, form)
    mirror.open()
    try:
        while rest := events[mirror.position.sequence :]:
            mirror.write(rest[:batch])
            mirror.commit()
    finally:
        mirror.close()


@pytest.mark.parametrize("form", list(Form))
def test_every_event_is_one_line_of_its_day_and_of_the_feed(tmp_path: Path, form: Form) -> None:
    events = history(30)
    written(tmp_path / "m", events, form=form)
    found = contents(tmp_path / "m")
    assert found == expected(events, form)
    assert sorted(found) == [
        "acme/events/2026-01-31.jsonl",
        "acme/events/2026-02-01.jsonl",
        "acme/feed.jsonl",
        "globex/events/2026-02-01.jsonl",
        "globex/feed.jsonl",
    ]
    feed = [json.loads(line) for path in found if path.endswith("feed.jsonl") for line in found[path].splitlines()]
    assert sorted(each["seq"] for each in feed) == list(range(1, 31))
    assert sum(data.count(b"\n") for path, data in found.items() if "/events/" in path) == 30


def test_a_day_ends_at_midnight_utc_by_the_stores_clock(tmp_path: Path) -> None:
    events = history(12)  # the third event is recorded at midnight
    written(tmp_path / "m", events)
    before = (tmp_path / "m/acme/events/2026-01-31.jsonl").read_bytes().splitlines()
    assert [json.loads(line)["recordedtime"][:10] for line in before] == ["2026-01-31"] * 2
    after = (tmp_path / "m/globex/events/2026-02-01.jsonl").read_bytes().splitlines()
    assert json.loads(after[0])["recordedtime"] == "2026-02-01T00:00:00.000000Z"


def test_a_tail_that_was_cut_at_any_byte_is_completed_and_never_repeated(tmp_path: Path) -> None:
    """Committed up to event 4; the rest was written and lost from any byte of either file on."""
    directory, events = tmp_path / "m", history(6, seconds_apart=1)
    written(directory, events[:4])
    kept, position = contents(directory), (directory / NAME).read_bytes()
    whole = expected(events)
    for cut in whole:
        for length in range(len(kept.get(cut, b"")), len(whole[cut]) + 1):
            for path, data in whole.items():
                (directory / path).write_bytes(data[:length] if path == cut else data)
            (directory / NAME).write_bytes(position)
            mirror = Mirror(directory)
            mirror.open()
            assert contents(directory)[cut] == data_of_whole_lines(whole[cut], length)
            mirror.write(events[4:])
            mirror.close()
            assert contents(directory) == whole


def data_of_whole_lines(data: bytes, length: int) -> bytes:
    return data[: data[:length].rfind(b"\n") + 1]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_number_of_deaths_anywhere_leaves_each_event_once(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    directory, events = tmp_path_factory.mktemp("m") / "m", history(40)
    for _ in range(data.draw(st.integers(1, 5))):
        mirror = Mirror(directory)
        mirror.open()
        for _ in range(data.draw(st.integers(0, 3))):
            rest = events[mirror.position.sequence :]
            mirror.write(rest[: data.draw(st.integers(1, 9))])
            if data.draw(st.booleans()):
                mirror.commit()
        kept = json.loads((directory / NAME).read_bytes())["files"] if (directory / NAME).exists() else {}
        mirror.close()
        for path, whole in contents(directory).items():  # dies: what was not committed may be lost in part
            if path in kept or not kept:
                (directory / path).write_bytes(whole[: data.draw(st.integers(kept.get(path, 0), len(whole)))])
    written(directory, events)
    assert contents(directory) == expected(events)


@pytest.mark.parametrize("loss", ["directory", "position", "tenant", "day", "feed shortened", "position torn"])
def test_what_is_deleted_is_written_again_byte_for_byte(tmp_path: Path, loss: str) -> None:
    directory, events = tmp_path / "m", history(30)
    written(directory, events[:25])
    match loss:
        case "directory":
            remove(directory)
        case "position":
            (directory / NAME).unlink()
        case "tenant":
            remove(directory / "globex")
        case "day":
            (directory / "acme/events/2026-02-01.jsonl").unlink()
        case "feed shortened":
            feed = directory / "acme/feed.jsonl"
            feed.write_bytes(feed.read_bytes()[:-10])
        case "position torn":
            (directory / NAME).write_bytes(b'{"form": "cloudevents", "seq')
    written(directory, events)
    assert contents(directory) == expected(events)


def remove(path: Path) -> None:
    for each in sorted(path.rglob("*"), reverse=True):
        each.rmdir() if each.is_dir() else each.unlink()
    path.rmdir()


def test_another_form_replaces_what_is_there(tmp_path: Path) -> None:
    directory, events = tmp_path / "m", history(20)
    written(directory, events)
    written(directory, events, form=Form.PLAIN)
    assert contents(directory) == expected(events, Form.PLAIN)


def test_what_others_append_is_cut_off(tmp_path: Path) -> None:
    directory, events = tmp_path / "m", history(20)
    written(directory, events[:1])
    with (directory / "acme/events/2026-01-31.jsonl").open("ab") as file:
        file.write(b'{"not": "ours"}\n')
    written(directory, events)
    assert contents(directory) == expected(events)


def test_who_follows_a_file_sees_each_line_once_although_the_writer_dies(tmp_path: Path) -> None:
    """A complete line that was not committed is not taken back: `tail -f` would show it again."""
    directory, events = tmp_path / "m", history(6, seconds_apart=1)
    written(directory, events[:2])
    dying = Mirror(directory)
    dying.open()
    dying.write(events[2:5])  # and never commits
    dying.close()
    sizes = {path: len(data) for path, data in contents(directory).items()}
    reborn = Mirror(directory)
    reborn.open()
    assert {path: len(data) for path, data in contents(directory).items()} == sizes
    reborn.write(events[2:3])
    assert {path: len(data) for path, data in contents(directory).items()} == sizes
    reborn.close()


def test_only_one_process_writes(tmp_path: Path) -> None:
    first, second = Mirror(tmp_path / "m"), Mirror(tmp_path / "m")
    first.open()
    with pytest.raises(Conflict) as caught:
        second.open()
    assert caught.value.code == "mirror.locked"
    first.close()
    second.open()
    second.close()


def test_tenants_do_not_read_each_other(tmp_path: Path) -> None:
    directory = tmp_path / "m"
    written(directory, history(20))
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (directory, *directory.rglob("*"))}
    assert modes.pop(directory) == 0o711  # passed through, not listed
    for path, mode in modes.items():
        assert mode & 0o007 == 0, path
        assert mode == (0o750 if path.is_dir() else 0o600 if path.parent == directory else 0o640), path
    for path in directory.rglob("*.jsonl"):
        tenants = {json.loads(line).get("tenant") for line in path.read_bytes().splitlines()}
        assert tenants <= {path.relative_to(directory).parts[0], None}


def test_an_administrators_group_is_handed_down(tmp_path: Path) -> None:
    tenant = tmp_path / "m" / "acme"
    tenant.mkdir(parents=True)
    tenant.chmod(0o2770)
    written(tmp_path / "m", history(3))
    assert stat.S_IMODE(tenant.stat().st_mode) == 0o2770
    assert stat.S_IMODE((tenant / "events").stat().st_mode) == 0o2750
