"""A whole file: numbers of lines, repeated ones, circles, ends that are not written yet."""

import io
import json
from datetime import timedelta
from typing import Any

import pytest

from agentplane.domains.work.aliases import event_uuid
from agentplane.errors import Refused
from agentplane.events.cloudevents import encode
from agentplane.history.plain import encode_plain
from agentplane.history.windows import Window
from agentplane.imports.reading import MAX_LINE_BYTES, Format
from agentplane.imports.scan import Reader, Scanned
from tests.unit.imports.made import NOW, RULES, Plane, flat, lines_of
from tests.unit.imports.test_reading import GO


def text(*documents: Any) -> bytes:
    return b"".join(each if isinstance(each, bytes) else json.dumps(each).encode() + b"\n" for each in documents)


def reader(data: bytes) -> Reader:
    return Reader(io.BytesIO(data), Format.AUTO, RULES)


def scan(data: bytes, **options: Any) -> Scanned:
    return reader(data).scan(NOW, **options)


def faults(found: Scanned) -> list[tuple[int, int | None, str]]:
    return [(each.line, each.column, each.code) for each in found.problems]


def test_faults_have_their_lines_numbers_and_empty_lines_count() -> None:
    found = scan(text(flat(1), b"\n", b"  \n", b"{]\n", flat(2), b"null\n"))
    assert faults(found) == [(4, 2, "import.json"), (6, 1, "import.json")]
    assert ([item.number for item in found.items], found.lines, found.faulty) == ([1, 5], 6, 2)


def test_a_byte_order_mark_is_no_fault() -> None:
    assert scan(b"\xef\xbb\xbf" + text(flat(1))).problems == []


def test_the_same_line_twice_is_one_and_another_body_is_a_conflict() -> None:
    found = scan(text(flat(1), flat(1), {**flat(1), "actor": "somebody else"}))
    assert (len(found.items), found.repeated, faults(found)) == (1, 1, [(3, None, "import.conflict")])
    assert found.problems[0].reason.startswith("line 1 has the same id")
    assert found.problems[0].reason.count("sha256:") == 2


@pytest.mark.parametrize("length", range(1, len(json.dumps(flat(2)))))
def test_a_last_line_that_is_cut_anywhere_waits(length: int) -> None:
    whole = text(flat(1))
    data = whole + json.dumps(flat(2)).encode()[:length]
    found = scan(data)
    assert (len(found.items), found.waiting, found.problems, found.end) == (1, 2, [], len(whole))


def test_a_last_line_without_its_newline_that_is_whole_is_taken() -> None:
    found = scan(text(flat(1)) + json.dumps(flat(2)).encode())
    assert (len(found.items), found.waiting) == (2, None)


def test_a_scan_goes_on_where_another_one_ended() -> None:
    first, second = text(flat(1)), text(flat(2), b"{]\n")
    found = scan(first + second, offset=len(first), number=1)
    assert ([item.number for item in found.items], faults(found)) == ([2], [(3, 2, "import.json")])


def test_a_line_of_any_length_costs_no_more_than_its_limit() -> None:
    found = scan(text(flat(1), b'"' + b"x" * (3 * MAX_LINE_BYTES) + b'"\n', flat(2)))
    assert (faults(found), [item.number for item in found.items]) == ([(2, None, "import.too-large")], [1, 3])


def test_events_that_cause_each_other_are_refused_all_of_them() -> None:
    ring = [{**flat(n), "caused_by": f"evt-{(n + 1) % 3:04d}"} for n in range(3)]
    found = scan(text(*ring, {**flat(7), "caused_by": "evt-0001"}, {**flat(8), "caused_by": "evt-9999"}))
    assert sorted(faults(found)) == [(1, None, "history.cycle"), (2, None, "history.cycle"), (3, None, "history.cycle")]
    assert [item.number for item in found.items] == [4, 5]  # a cause that is not there dangles


def test_a_file_that_changes_meanwhile_is_noticed() -> None:
    file = io.BytesIO(text(flat(1)))
    lines = Reader(file, Format.AUTO, RULES)
    (item,) = lines.scan(NOW).items
    file.seek(3)
    file.write(b"\n\n")
    with pytest.raises(Refused) as caught:
        lines.line(item)
    assert caught.value.code == "import.file"


async def test_an_export_of_what_was_imported_is_the_same_as_the_file_it_came_from() -> None:
    documents = [flat(1), {**flat(2), "caused_by": "evt-0001"}, GO]
    here, there, other = Plane("acme"), Plane("acme"), Plane("globex")
    await here.take(lines_of(documents))
    exported = text(*[encode(each) + b"\n" for each in await here.events()])
    for plane, duplicates in ((here, 3), (there, 0), (other, 0)):
        lines = Reader(io.BytesIO(exported), Format.AUTO, plane.rules, "acme")
        (report,) = await plane.take([lines.line(item) for item in lines.scan(NOW).items])
        assert (report["duplicates"], report["stored"]) == (duplicates, 3 - duplicates)
        first, second = [each.event for each in await plane.events() if each.event.data.get("work_order_id")]
        assert second.causation_id == first.id
    assert await there.state() == await here.state()
    for plane in (there, other):  # from where it came first, whoever's export came before
        (report,) = await plane.take(lines_of(documents, tenant=plane.tenant))
        assert (report["duplicates"], report["stored"]) == (3, 0)


@pytest.mark.parametrize("form", [Format.AUTO, Format.PLAIN])
async def test_our_plain_form_of_what_was_imported_is_the_same_as_the_file_it_came_from(form: Format) -> None:
    documents = [{**flat(1, seconds=5), "caused_by": "evt-0002"}, flat(2, seconds=5)]
    documents.append({**flat(3), "correlation_id": None})
    here, there, other = Plane("acme"), Plane("acme"), Plane("globex")
    await here.take(lines_of(documents))
    exported = text(*[encode_plain(each) + b"\n" for each in await here.events()])
    for plane, duplicates in ((here, 3), (there, 0), (other, 0)):
        lines = Reader(io.BytesIO(exported), form, plane.rules, "acme")
        (report,) = await plane.take([lines.line(item) for item in lines.scan(NOW).items])
        assert (report["duplicates"], report["stored"]) == (duplicates, 3 - duplicates)
    assert await there.state() == await here.state()
    (report,) = await there.take(lines_of(documents))
    assert (report["duplicates"], report["stored"]) == (3, 0)


def test_causes_in_an_export_of_ours_are_known_for_order_and_for_circles() -> None:
    names = {each: str(event_uuid("acme", each)) for each in ("evt-1", "evt-2")}
    lines = [
        {
            **flat(1, seconds=5),
            "event_id": names[own],
            "caused_by": names[cause] if cause else None,
            "data": {**flat(1)["data"], "original_id": own},
        }
        for own, cause in (("evt-2", "evt-1"), ("evt-1", None))
    ]
    assert [item.number for item in scan(text(*lines)).items] == [2, 1]
    lines[1]["caused_by"] = names["evt-2"]
    assert [each.code for each in scan(text(*lines)).problems] == ["history.cycle", "history.cycle"]


def test_what_happened_outside_of_a_window_is_left_out_and_counted_and_its_faults_with_it() -> None:
    lines = [flat(each, seconds=each) for each in (1, 2, 3)]
    lines.append({**flat(4, seconds=-9), "data": {"password": "hunter2"}})
    wanted = Window(since=NOW - timedelta(days=1) + timedelta(seconds=2))
    found = Reader(io.BytesIO(text(*lines)), Format.AUTO, RULES, window=wanted).scan(NOW)
    assert ([item.number for item in found.items], found.outside, found.problems) == ([2, 3], 2, [])


def test_unknown_types_are_counted() -> None:
    assert scan(text(flat(1), flat(2, "weather.changed"), flat(3, "weather.changed"))).unknown == {"weather.changed": 2}
