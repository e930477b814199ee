"""Domains of other people: found by their entry point, and left out when they are broken."""

import json
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from agentplane import domains
from agentplane.cli.prompting import complete
from agentplane.domains.discovery import GROUP, collect, folders
from agentplane.domains.documentation import explain, json_schema
from agentplane.domains.model import Domain, Kind
from agentplane.domains.organization import DOMAIN as ORGANIZATION
from agentplane.domains.registry import Registry
from agentplane.domains.specs import read_wish
from agentplane.errors import NotFound, Refused
from agentplane.schemas import registry as artifacts
from tests.domains import LAMPS, REGISTRY, Lamp

DOCS = Path(__file__).parents[3] / "docs"
KIND = ORGANIZATION.kinds[0]


def installed_example(where: Path) -> dict[str, str]:
    """The example of docs/domains.md as an installed distribution; the environment that sees it."""
    text = (DOCS / "domains.md").read_text()
    code, tests, views = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (where / "test_ticket.py").write_text(tests)
    (where / "ticket_views.py").write_text(views)
    (announced,) = re.findall(r"\n(tickets = .*)\n", text)
    (where / "ticket_domain.py").write_text(code)
    info = where / "ticket_domain-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ticket-domain\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\n{announced.replace(chr(34), '')}\n")
    return {**os.environ, "PYTHONPATH": str(where)}


def agentplane(*arguments: str, env: dict[str, str]) -> str:
    argv = [sys.executable, "-m", "agentplane.cli.main", *arguments]
    return subprocess.run(argv, env=env, check=True, capture_output=True, text=True, timeout=60).stdout


def test_the_worked_example_is_found_by_its_entry_point(tmp_path: Path) -> None:
    env = installed_example(tmp_path)
    kinds = json.loads(agentplane("kinds", "-o", "json", env=env))
    assert [each["kind"] for each in kinds][:2] == ["Run", "Executor"]  # then our other folders, as many as there are
    assert kinds[-1]["kind"] == "Ticket"
    assert json.loads(agentplane("schema", "Ticket.title", "-o", "json", env=env))["type"] == "string"


def test_the_worked_example_is_a_whole_package_and_its_document_fits(tmp_path: Path) -> None:
    text = (DOCS / "domains.md").read_text()
    (package,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    (ticket,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    declared = tomllib.loads(package)
    assert declared["project"].keys() >= {"name", "version"}
    assert declared["project"]["entry-points"][GROUP] == {"tickets": "ticket_domain:DOMAIN"}
    env = installed_example(tmp_path)
    assert all((tmp_path / f"{module}.py").exists() for module in declared["tool"]["setuptools"]["py-modules"])
    (tmp_path / "ticket.yaml").write_text(ticket)
    play = """
from datetime import UTC, datetime
from pathlib import Path
from agentplane.documents.edge import read_documents
from agentplane.domains.simulation import play
from ticket_domain import DOMAIN
(document,) = read_documents(Path("ticket.yaml"))
print(play(DOMAIN, document.value, now=datetime(2026, 3, 1, tzinfo=UTC)).after.status["phase"])
"""
    run = [sys.executable, "-c", play]
    done = subprocess.run(run, env=env, check=True, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.stdout == "Assigned\n"


def test_the_worked_examples_tests_pass(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path)]
    env = installed_example(tmp_path)
    run = subprocess.run(argv, check=False, env=env, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert "1 passed" in run.stdout, run.stdout


def test_the_worked_examples_read_model_counts(tmp_path: Path) -> None:
    play = """
import json
from datetime import UTC, datetime
from agentplane.domains.model import Domain
from agentplane.domains.registry import Registry
from agentplane.domains.simulation import play
from agentplane.events.model import StoredEvent
from ticket_domain import DOMAIN
from ticket_views import VIEW, apply, key
Registry((Domain(name="tickets", kinds=DOMAIN.kinds, views=(VIEW,)),))
now, row = datetime(2026, 3, 1, tzinfo=UTC), None
for number, title in enumerate(("paint it", "sell it")):
    document = {"kind": "Ticket", "metadata": {"name": f"t{number}"}, "spec": {"title": title, "owner": "ada"}}
    for event in play(DOMAIN, document, now=now).events:
        stored = StoredEvent(event=event, sequence=1, stream_version=1, recorded_at=now)
        row = apply(row, stored) if key(stored) else row
print(json.dumps([row.name, row.tickets_given]))
"""
    env = installed_example(tmp_path)
    run = subprocess.run([sys.executable, "-c", play], env=env, check=True, capture_output=True, text=True, timeout=60)
    assert json.loads(run.stdout) == ["ada", 2]


def test_a_broken_domain_is_left_out_and_named() -> None:
    points = (
        EntryPoint("a-missing", "no_such_module:DOMAIN", GROUP),
        EntryPoint("b-other", "tests.domains:NOW", GROUP),
        EntryPoint("c-again", "agentplane.domains.organization:DOMAIN", GROUP),
        EntryPoint("d-good", "tests.domains:LAMPS", GROUP),
    )
    found = collect(points)
    assert list(found.registry.kinds) == [*Registry(folders()).kinds, "Lamp"]
    assert [each.entry_point.partition(":")[0] for each in found.left_out] == [
        "no_such_module",
        "tests.domains",
        "agentplane.domains.organization",
    ]
    assert "domain.invalid" in found.left_out[2].reason


@pytest.mark.parametrize(
    ("name", "plural", "api_version"),
    [
        ("Run", "sprints", "x.example/v1"),
        ("Shade", "runs", "x.example/v1"),
        ("shade", "shades", "x.example/v1"),
        ("Shade", "shades", "v1"),
        ("Lamp", "shades", "x.example/v1"),
    ],
)
def test_names_that_are_taken_or_unfit_are_refused(name: str, plural: str, api_version: str) -> None:
    kind = Kind(name=name, plural=plural, api_version=api_version, spec=Lamp)
    with pytest.raises(Refused) as refused:
        Registry((LAMPS, Domain(name="mine", kinds=(kind,))))
    assert refused.value.code == "domain.invalid"


def test_a_document_may_be_the_spec_alone_beside_its_kind() -> None:
    read = read_wish(REGISTRY, {"name": "hall", "level": 3}, tenant="acme", kind="lamps", origin="doc")
    assert (read.stream.kind, read.stream.name, read.request.spec) == ("Lamp", "hall", {"level": 3})
    with pytest.raises(Refused) as refused:
        read_wish(REGISTRY, {"level": 3}, tenant="acme", kind="Lamp", origin="doc")
    assert refused.value.code == "resource.metadata"


def test_a_secret_in_a_spec_is_refused_and_not_repeated() -> None:
    document = {"name": "hall", "mood": "ghp_" + "a" * 36}
    with pytest.raises(Refused) as refused:
        read_wish(REGISTRY, document, tenant="acme", kind="Lamp", origin="doc")
    assert refused.value.code == "resource.secret"
    assert "aaaa" not in str(refused.value)


def test_kinds_are_found_by_name_and_plural_in_any_case() -> None:
    assert {REGISTRY.kind(word).name for word in ("Lamp", "lamps", "LAMP")} == {"Lamp"}
    with pytest.raises(NotFound) as unknown:
        REGISTRY.kind("Lantern")
    assert unknown.value.code == "kind.unknown"


def test_the_schema_takes_the_fixture_and_explains_every_field() -> None:
    from jsonschema_rs import Draft202012Validator

    from agentplane.documents.edge import read_document

    schema = json_schema(KIND)
    document = read_document(DOCS.parent / "examples" / "org.yaml").value
    validator = Draft202012Validator(schema)
    assert validator.is_valid(document)
    assert not validator.is_valid({**document, "spec": {**document["spec"], "colour": "red"}})
    for field in explain(schema, ("spec",)).fields:
        assert field.description, field.name
    assert explain(schema, ("owner", "email")).path == "spec.owner.email"
    with pytest.raises(NotFound):
        explain(schema, ("spec", "nothing"))
    assert artifacts.for_kind("RunArtifact") == "run-artifact.v0.1"


def test_a_person_is_asked_for_what_is_missing_until_it_fits() -> None:
    answers = iter(["Not A Label", "acme", "", "Acme", "Ada", "nowhere", "ada@acme.example"])
    asked: list[str] = []
    said: list[str] = []

    def ask(words: str) -> str:
        asked.append(words.partition(" (")[0])
        return next(answers)

    value = complete(KIND, {}, None, ask, said.append)
    assert value["metadata"] == {"name": "acme"}
    assert value["spec"] == {"displayName": "Acme", "owner": {"name": "Ada", "email": "ada@acme.example"}}
    assert asked == ["name of the Organization"] * 2 + ["displayName"] * 2 + ["owner.name"] + ["owner.email"] * 2
    assert len(said) == 3


def test_a_folder_beside_ours_is_found_and_listed_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "lampshop"
    folder.mkdir()
    (folder / "__init__.py").write_text("from tests.domains import LAMPS as DOMAIN\n")
    (tmp_path / "loose").mkdir()
    (tmp_path / "loose" / "__init__.py").write_text("DOMAIN = 'no domain'\n")
    monkeypatch.setattr(domains, "__path__", [*domains.__path__, str(tmp_path)])
    found = folders()
    names = [each.name for each in found]
    assert names[0] == "runs"
    assert {LAMPS.name, "organization", "work"} < set(names)
    assert "Lamp" in Registry(found).kinds
