"""A bundle's directory as found: what it says of files, and that no link leads the way out."""

import json
import os
from pathlib import Path

import pytest

from agentplane.bundles import edge
from agentplane.bundles.edge import inspect
from agentplane.bundles.validate import validate
from agentplane.errors import Refused
from agentplane.runs.model import FileFact
from tests.unit.bundles.material import POLICY, codes, valid


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    directory = tmp_path / "sample"
    directory.mkdir()
    (directory / "bundle.json").write_text(json.dumps(valid(), indent=1))
    (directory / "guest.nix").write_text("{ pkgs, ... }: { }\n")
    (directory / "smoke.sh").write_text("#!/bin/sh\ntrue\n")
    (directory / "smoke.sh").chmod(0o755)
    return directory


def _facts(bundle: Path) -> dict[str, FileFact]:
    return {fact.path: fact for fact in inspect(bundle)[1]}


def _codes(bundle: Path) -> set[str]:
    document, facts, _ = inspect(bundle)
    return codes(validate(document, facts, POLICY))


def test_a_sound_bundle_is_valid_by_directory_and_by_document(bundle: Path) -> None:
    for path in (bundle, bundle / "bundle.json"):
        document, facts, directory = inspect(path)
        assert validate(document, facts, POLICY).valid
        assert directory == bundle.resolve()


def test_yaml_is_as_good(bundle: Path) -> None:
    (bundle / "bundle.json").rename(bundle / "bundle.yaml")  # JSON is YAML
    assert _codes(bundle) == set()


def test_paths_of_the_seeds_form_are_found(bundle: Path) -> None:
    value = valid(**{"spec.smoke.script": "bundles/sample/smoke.sh", "spec.vm.modulePath": "bundles/sample/guest.nix"})
    (bundle / "bundle.json").write_text(json.dumps(value))
    assert _codes(bundle) == set()


def test_the_run_bit_is_seen(bundle: Path) -> None:
    (bundle / "smoke.sh").chmod(0o644)
    assert _codes(bundle) == {"bundle.smoke.not-executable"}


def test_a_link_within_the_bundle_is_what_it_leads_to(bundle: Path) -> None:
    (bundle / "bin").mkdir()
    (bundle / "smoke.sh").rename(bundle / "bin" / "real.sh")
    (bundle / "smoke.sh").symlink_to("bin/../bin/real.sh")
    assert _facts(bundle)["smoke.sh"].type == "regular"
    assert _codes(bundle) == set()


@pytest.mark.parametrize("target", ["/bin/sh", "/guest.nix", "../outside", "bin/../../outside", "nowhere", "smoke.sh"])
def test_a_link_that_leads_out_or_nowhere_is_refused(bundle: Path, target: str) -> None:
    (bundle.parent / "outside").write_text("#!/bin/sh\n")
    (bundle / "smoke.sh").unlink()
    (bundle / "smoke.sh").symlink_to(target)
    assert _codes(bundle) == {"bundle.files.symlink"}


def test_a_directory_link_that_leads_out_hides_no_file(bundle: Path) -> None:
    (bundle.parent / "lib").mkdir()
    (bundle.parent / "lib" / "guest.nix").write_text("{ }")
    (bundle / "lib").symlink_to("../lib")
    value = valid(**{"spec.vm.modulePath": "lib/guest.nix"})
    (bundle / "bundle.json").write_text(json.dumps(value))
    assert _codes(bundle) == {"bundle.files.symlink"}


def test_a_link_that_no_rule_names_is_found_all_the_same(bundle: Path) -> None:
    (bundle / "data").mkdir()
    (bundle / "data" / "passwd").symlink_to("/etc/passwd")
    assert _codes(bundle) == {"bundle.files.symlink"}


def test_an_absolute_link_to_inside_is_refused_because_the_store_is_elsewhere(bundle: Path) -> None:
    (bundle / "copy.sh").symlink_to(bundle / "smoke.sh")
    assert _codes(bundle) == {"bundle.files.symlink"}


def test_a_fifo_is_refused_without_being_opened(bundle: Path) -> None:
    os.mkfifo(bundle / "pipe")
    assert _codes(bundle) == {"bundle.files.special"}


def test_a_directory_without_a_document_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(Refused) as caught:
        inspect(tmp_path)
    assert caught.value.code == "bundle.no-document"
    assert "bundle.json" in str(caught.value.hint)


def test_two_documents_are_one_too_many(bundle: Path) -> None:
    (bundle / "bundle.yaml").write_text("kind: Bundle\n")
    with pytest.raises(Refused) as caught:
        inspect(bundle)
    assert caught.value.code == "bundle.two-documents"


def test_a_heap_of_files_is_no_bundle(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge, "MAX_ENTRIES", 2)
    with pytest.raises(Refused) as caught:
        inspect(bundle)
    assert caught.value.code == "bundle.too-many-files"


def test_a_bundle_too_large_to_be_signed_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bundle.json").write_text('{"a": "' + "x" * 300_000 + '"}')
    with pytest.raises(Refused) as caught:
        inspect(tmp_path)
    assert caught.value.code == "document.too-large"
