"""Exports on disk and the command that verifies them, as a stranger would use it."""

import json
import os
from pathlib import Path

import pytest
from securesystemslib.dsse import Envelope as ForeignEnvelope
from securesystemslib.signer._key import SSlibKey

from agentplane.cli.main import main
from agentplane.errors import Conflict, NotFound, Refused, Tampered
from agentplane.evidence.export import select_attempt
from agentplane.evidence.export_file import Subject, open_within, read_export, write_export
from agentplane.evidence.keys import public_pem
from agentplane.evidence.verify import verify_export
from tests.unit.evidence.conftest import signer_for
from tests.unit.evidence.story import BUNDLE, NOW, Story, as_export

STORY = Story()
SUBJECT = Subject(bundle=BUNDLE, pinned=STORY.pinned)


@pytest.fixture
def out_dir(tmp_path: Path) -> Path:
    for path, data in STORY.guest_files.items():
        target = tmp_path / "out" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    return tmp_path / "out"


@pytest.fixture
def exported(tmp_path: Path, out_dir: Path) -> Path:
    write_export(tmp_path / "export", STORY.records(), SUBJECT, STORY.keys(), open_within(out_dir))
    return tmp_path / "export"


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    directory = tmp_path / "trusted"
    (directory / "executors").mkdir(parents=True)
    (directory / "control.pub").write_bytes(public_pem(signer_for("control").public_key))
    (directory / "executors" / "exec-1.pub").write_bytes(public_pem(signer_for("executor/exec-1").public_key))
    return directory


def test_what_is_written_is_what_verifies(exported: Path) -> None:
    export = read_export(exported)
    assert export == as_export(STORY.contents())
    assert verify_export(export, STORY.keys(), NOW).verified


def test_an_export_of_a_refused_run_verifies(tmp_path: Path, out_dir: Path) -> None:
    refused = Story(valid=False)
    write_export(
        tmp_path / "e", select_attempt(refused.records()), Subject(bundle=BUNDLE), refused.keys(), open_within(out_dir)
    )
    assert verify_export(read_export(tmp_path / "e"), refused.keys(), NOW).verified


def test_a_run_that_has_not_ended_is_not_exported() -> None:
    with pytest.raises(Refused) as caught:
        select_attempt(STORY.records()[:-1])
    assert caught.value.code == "evidence.unsealed"


def test_a_record_that_the_store_has_lost_is_noticed_on_export() -> None:
    records = STORY.records()
    with pytest.raises(Tampered) as caught:
        select_attempt([*records[:3], *records[4:]])
    assert caught.value.code == "evidence.seal"


def test_foreign_software_verifies_every_line_with_the_exported_keys(exported: Path) -> None:
    lines = (exported / "evidence.jsonl").read_bytes().splitlines()
    keys = {
        who: SSlibKey.from_crypto(signer_for(who).public_key, keyid=signer_for(who).key_id)
        for who in ("control", "executor/exec-1")
    }
    signers = []
    for line in lines:
        for who, key in keys.items():
            if json.loads(line)["signatures"][0]["keyid"] == key.keyid:
                ForeignEnvelope.from_dict(json.loads(line)).verify([key], 1)
                signers.append(who)
    assert signers == ["control"] * 2 + ["executor/exec-1"] * (len(lines) - 2)


def test_coreutils_agree_on_the_digests(exported: Path) -> None:
    import subprocess

    digest = subprocess.run(["sha256sum", exported / "bundle.json"], capture_output=True, check=True).stdout.split()[0]
    subjects = [record.statement.subject[0].digest.sha256 for record in STORY.records()]
    assert {digest.decode()} == set(subjects)


def test_nothing_is_written_over(exported: Path, out_dir: Path) -> None:
    before = read_export(exported)
    with pytest.raises(Conflict):
        write_export(exported, STORY.records(), SUBJECT, STORY.keys(), open_within(out_dir))
    assert read_export(exported) == before


def test_an_artifact_that_was_changed_is_not_exported(tmp_path: Path, out_dir: Path) -> None:
    (out_dir / "report.json").write_bytes(b"other")
    with pytest.raises(Tampered) as caught:
        write_export(tmp_path / "export", STORY.records(), SUBJECT, STORY.keys(), open_within(out_dir))
    assert caught.value.code == "evidence.export.file"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_an_artifact_behind_a_link_is_not_exported(tmp_path: Path, out_dir: Path) -> None:
    (tmp_path / "secret").write_bytes(STORY.guest_files["report.json"])
    (out_dir / "report.json").unlink()
    (out_dir / "report.json").symlink_to(tmp_path / "secret")
    with pytest.raises((Refused, NotFound)):
        write_export(tmp_path / "export", STORY.records(), SUBJECT, STORY.keys(), open_within(out_dir))


def test_a_missing_artifact_is_said(tmp_path: Path, out_dir: Path) -> None:
    (out_dir / "report.json").unlink()
    with pytest.raises(NotFound, match=r"report\.json"):
        write_export(tmp_path / "export", STORY.records(), SUBJECT, STORY.keys(), open_within(out_dir))


@pytest.mark.parametrize("kind", ["link", "pipe", "empty directory", "name beyond ASCII control"])
def test_entries_that_are_no_plain_files_are_refused(exported: Path, kind: str) -> None:
    place = exported / "artifacts" / ("bell\a" if kind.startswith("name") else "thing")
    match kind:
        case "link":
            place.symlink_to(exported / "bundle.json")
        case "pipe":
            os.mkfifo(place)
        case "empty directory":
            place.mkdir()
        case _:
            place.write_bytes(b"")
    report = verify_export(read_export(exported), STORY.keys(), NOW)
    assert [step.name for step in report.steps if step.status == "fail"] == ["layout"]


def test_a_name_that_is_no_text_is_refused(exported: Path) -> None:
    with open(os.fsencode(exported) + b"/artifacts/\xff", "wb"):  # noqa: PTH123 - bytes
        pass
    assert not verify_export(read_export(exported), STORY.keys(), NOW).verified


def test_no_directory_no_export(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        read_export(tmp_path / "none")
    (tmp_path / "file").touch()
    with pytest.raises(Refused):
        read_export(tmp_path / "file")


def test_the_command_says_yes_and_exits_0(exported: Path, keys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evidence", "verify", str(exported), "--keys", str(keys), "-o", "json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["verified"] is True
    assert [step["number"] for step in answer["steps"]] == list(range(1, 20))


def test_the_command_names_what_was_changed_and_exits_1(
    exported: Path, keys: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (exported / "artifacts" / "report.json").write_bytes(b'{"licenses":0}')
    assert main(["evidence", "verify", str(exported), "--keys", str(keys)]) == 1
    captured = capsys.readouterr()
    assert "artifacts/report.json" in captured.out
    assert "NOT verified: step 14 (artifacts)" in captured.err


def test_the_exports_own_keys_are_not_trusted_by_default(
    exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--state-dir", str(tmp_path / "nowhere"), "evidence", "verify", str(exported)]) == 2
    assert "evidence.key.missing" in capsys.readouterr().err


@pytest.mark.parametrize(("path", "status"), [("none", 3), ("trusted/control.pub", 2)])
def test_bad_paths_are_said_without_a_traceback(
    tmp_path: Path, keys: Path, path: str, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evidence", "verify", str(tmp_path / path), "--keys", str(keys)]) == status
    assert "Traceback" not in capsys.readouterr().err
