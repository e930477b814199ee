"""Documents of a command line: every file, every document, every problem with its line, before anything is done."""

from pathlib import Path

import pytest

from agentplane.cli.reading import read_streams, read_wishes
from agentplane.errors import AgentplaneError, NotFound, Refused

ORDER = "apiVersion: agentplane.io/v1alpha1\nkind: WorkOrder\nmetadata: {{name: {name}}}\nspec:\n  title: Do it\n"


def order(name: str) -> str:
    return ORDER.format(name=name)


def read(*files: Path, directory: Path | None = None, recursive: bool = False) -> list[str]:
    wishes = read_wishes("acme", None, files, directory, recursive, None)
    return [wish.stream.name for wish in wishes]


def refused(path: Path) -> AgentplaneError:
    with pytest.raises(AgentplaneError) as caught:
        read(path)
    return caught.value


def test_every_document_of_a_directory_is_read_below_it_where_asked_for(tmp_path: Path) -> None:
    (tmp_path / "below" / ".hidden").mkdir(parents=True)
    (tmp_path / "a.yaml").write_text(order("a1") + "---\n" + order("a2"))
    (tmp_path / "below" / "b.yml").write_text(order("b"))
    (tmp_path / "below" / ".hidden" / "c.yml").write_text("[")
    (tmp_path / "README.md").write_text("[")
    assert read(directory=tmp_path) == ["a1", "a2"]
    assert read(directory=tmp_path, recursive=True) == ["a1", "a2", "b"]
    (tmp_path / "a.yaml").unlink()
    with pytest.raises(Refused) as nothing:
        read(directory=tmp_path)
    assert "-R" in str(nothing.value.hint)


def test_what_only_looks_like_a_document_is_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "A.YAML").write_text(order("a1"))
    (tmp_path / "dir.yaml").mkdir()
    assert read(directory=tmp_path) == ["a1"]
    (tmp_path / "nowhere.yaml").symlink_to(tmp_path / "nothing")
    with pytest.raises(Refused, match=r"nowhere.yaml: no such file"):
        read(directory=tmp_path)


@pytest.mark.parametrize(
    ("text", "code", "line", "words"),
    [
        (order("a") + "  priority: 9\n", "resource.invalid", 6, "spec.priority"),
        (order("a") + "  extra: 9\n", "resource.invalid", 6, "spec.extra"),
        (order("a_b"), "resource.metadata", 3, "metadata.name"),
        (order("a").replace("WorkOrder", "WorkOrderr"), "kind.unknown", 2, "WorkOrderr"),
        (order("a").replace("/v1alpha1", "/v9"), "resource.kind", 1, "apiVersion"),
        (order("a").replace("{name: a}", "{}"), "resource.metadata", 3, "metadata.name is missing"),
        (order("a") + "  description: ghp_0123456789abcdefghijABCDEFGHIJ012345\n", "resource.secret", 6, "spec.descr"),
        (
            order("a").replace("a}", "a, labels: {x: ghp_0123456789abcdefghijABCDEFGHIJ012345}}"),
            "resource.secret",
            3,
            "x",
        ),
        (order("a").replace("a}", "a, finalizers: [x.example/y, 'no one']}"), "resource.metadata", 3, "finalizers"),
        (order("a") + "more: 1\n", "resource.invalid", 6, "unknown fields: more"),
    ],
)
def test_a_problem_is_told_with_file_line_and_field(
    text: str, code: str, line: int, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "doc.yaml"
    path.write_text(order("other") + "---\n" + text)
    error = refused(path)
    assert error.code == code
    assert str(error.where).startswith(f"{path}:{line + 6}:")
    assert words in error.message
    assert "ghp_" not in str(error)


def test_of_several_problems_in_a_document_each_has_its_line(tmp_path: Path) -> None:
    path = tmp_path / "doc.yaml"
    path.write_text(order("a") + "  priority: 9\n  extra: 1\n")
    said = str(refused(path))
    assert f"\n  {path}:6:13: spec.priority: Input should be" in said
    assert f"\n  {path}:7:10: spec.extra: there is no such field" in said


def test_a_misspelt_field_is_told_what_it_may_be_called(tmp_path: Path) -> None:
    path = tmp_path / "doc.yaml"
    path.write_text(order("a") + "  priorty: 1\n")
    assert "spec.priorty: there is no such field; priority?" in str(refused(path))
    path.write_text(order("a").replace("title", "titel"))
    assert "spec.title: is missing" in str(refused(path))


@pytest.mark.parametrize(
    ("metadata", "words", "place"),
    [
        ("{name: 5}", "metadata.name: Expected a string, got a number", ":3:18"),
        ("{name: a, labels: {x: 1}}", "metadata.labels: Expected a string", ":3:29"),
        ("{name: a, labels: {a b: c}}", "no selector can name", ":3:35"),
        ("{name: a, labels: {x: c d}}", "no selector can name", ":3:33"),
        ("{name: a, annotations: {}}", "unknown fields: annotations", ":3:34"),
    ],
)
def test_what_is_wrong_with_metadata_is_told_where_it_stands(
    metadata: str, words: str, place: str, tmp_path: Path
) -> None:
    path = tmp_path / "doc.yaml"
    path.write_text(order("a").replace("{name: a}", metadata))
    error = refused(path)
    assert error.code == "resource.metadata"
    assert words in error.message
    assert str(error.where) == f"{path}{place}"


def test_a_name_beside_a_document_is_not_another_one(tmp_path: Path) -> None:
    path = tmp_path / "doc.yaml"
    for text in (order("a"), "name: a\ntitle: Do it\n"):
        path.write_text(text)
        kind = None if "kind" in text else "WorkOrder"
        (wish,) = read_wishes("acme", kind, [path], None, False, "a")
        assert wish.stream.name == "a"
        with pytest.raises(Refused, match=r"name is a, asked for was b"):
            read_wishes("acme", kind, [path], None, False, "b")


def test_all_documents_are_judged_before_anything_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(order("a") + "  priority: 9\n---\n" + order("b") + "---\n" + order("c_d"))
    (tmp_path / "z.json").write_text("{")
    with pytest.raises(Refused) as caught:
        read(directory=tmp_path)
    for words in ("3 documents", "a.yaml:6:13", "a.yaml:16:18", "z.json:1:", "document.syntax", "resource.metadata"):
        assert words in caught.value.message


def test_a_resource_in_two_documents_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "doc.yaml"
    path.write_text(order("a") + "---\n" + order("a"))
    error = refused(path)
    assert error.code == "resource.twice"
    assert f"{path}:1:1, too" in error.message
    assert str(error.where) == f"{path}:7:1"


def test_a_spec_alone_is_named_beside_it_or_in_it(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text("title: Do it\npriority: 3\n")
    (wish,) = read_wishes("acme", "workorder", [path], None, False, "wo-1")
    assert (wish.stream.name, wish.request.spec) == ("wo-1", {"title": "Do it", "priority": 3})
    path.write_text("name: wo-2\ntitle: Do it\npriority: 9\n")
    with pytest.raises(Refused) as caught:
        read_wishes("acme", "WorkOrder", [path], None, False, None)
    assert str(caught.value.where) == f"{path}:3:11"


def test_a_document_without_a_name_takes_the_one_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "doc.yaml"
    path.write_text("kind: WorkOrder\nspec: {title: Do it}\n")
    (wish,) = read_wishes("acme", None, [path], None, False, "wo-1")
    assert wish.stream.name == "wo-1"


def test_what_is_deleted_needs_a_name_and_no_spec(tmp_path: Path) -> None:
    path = tmp_path / "doc.yaml"
    path.write_text("kind: WorkOrder\nmetadata: {name: a, namespace: b}\n---\n" + order("c") + "  gone: field\n")
    streams = read_streams("acme", None, [path], None, False)
    assert [(each.namespace, each.name) for each in streams] == [("b", "a"), ("default", "c")]
    path.write_text("kind: WorkOrder\nmetadata: {}\n")
    with pytest.raises(Refused, match=r"metadata.name is missing"):
        read_streams("acme", None, [path], None, False)


def test_an_unknown_kind_stays_not_found(tmp_path: Path) -> None:
    path = tmp_path / "doc.json"
    path.write_text('{\n "kind": "Nope", "metadata": {"name": "a"}}')
    error = refused(path)
    assert isinstance(error, NotFound)
    assert str(error.where) == f"{path}:2:10"
