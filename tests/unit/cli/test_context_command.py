"""`agentplane context`: what the command line would connect to, and what is wrong with its file."""

import json
from pathlib import Path

import pytest

from agentplane.cli.main import main

DOCUMENT = {
    "tenant": "default",
    "servers": ["tls://control.example:4222"],
    "nkey_seed_file": None,
    "trusted_keys_dir": "/k",
    "tls": {"ca_file": "/ca.pem"},
}


def test_it_says_where_and_how(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "context.json").write_text(json.dumps(DOCUMENT))
    assert main(["--state-dir", str(tmp_path), "context", "-o", "json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said == {
        **DOCUMENT,
        "file": str(tmp_path / "context.json"),
        "tls": {"ca_file": "/ca.pem", "server_name": None},
        "allow_plaintext": False,
    }
    assert main(["--state-dir", str(tmp_path), "context"]) == 0
    rows = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()[2:])
    assert {name: value.strip() for name, value in rows.items()}["nkey_seed_file"] == "-"
    assert rows["tls"].strip() == "ca_file /ca.pem"


def test_an_unknown_setting_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "context.json").write_text(json.dumps({**DOCUMENT, "tenat": "x"}))
    assert main(["--state-dir", str(tmp_path), "context"]) == 2
    assert "tenat" in capsys.readouterr().err


def test_plaintext_over_a_network_is_refused_before_anything_is_sent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = {**DOCUMENT, "servers": ["nats://192.0.2.1:4222"], "tls": None}
    (tmp_path / "context.json").write_text(json.dumps(document))
    assert main(["--state-dir", str(tmp_path), "get", "runs"]) == 4
    said = capsys.readouterr().err
    assert "bus.plaintext" in said
    assert "tls.ca_file" in said
