"""No secret of a host leaves it in a support bundle, however it got into a log or a configuration."""

import base64
import gzip
import json
import tarfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentplane.bus import nkeys
from agentplane.caches.keys import public_part, secret_text
from agentplane.doctor.check import Check, Role
from agentplane.doctor.examine import examine
from agentplane.errors import Broken, Conflict, NotFound
from agentplane.evidence.edge import generate_key_pair
from agentplane.stack.layout import Layout
from agentplane.stack.postgres import write_passfile
from agentplane.support.archive import make
from agentplane.support.redaction import MASK, known_secrets, redact_json, redact_text, require_clean

NOW = datetime(2026, 3, 1, tzinfo=UTC)
PASSWORD = "4f1d0c9a7b5e3f2d1c0b9a8f7e6d5c4b3a291807f6e5d4c3"
SEED = "SUAPBLTYPCNBV2E4ZQEGQDXX5RQ6VZJVB3GHAVXYMCTEYBHY5ZZYQ2XYZA"
BUNDLE_SECRET = 'correct horse "battery" staple/ü'
UNKNOWN_TOKEN = "ghp_" + "a1B2" * 9  # not in any file of ours: recognised by its shape


@pytest.fixture(scope="module")
def examined(tmp_path_factory: pytest.TempPathFactory) -> list[Check]:
    """What the doctor says of this machine: it takes seconds, and is the same for every bundle."""
    return examine(Role.DEVELOPER, tmp_path_factory.mktemp("examined"))


@pytest.fixture(autouse=True)
def _examined_once(examined: list[Check], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agentplane.support.collect.examine", lambda _role, _root: examined)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A state directory of a stack that is down, with secrets, and everywhere traces of them."""
    found = Layout(tmp_path / "state")
    for path in (found.keys, found.nkeys, found.passfiles, found.secrets / "user", found.config, found.logs):
        path.mkdir(parents=True)
    generate_key_pair(found.keys, "control")
    (found.nkeys / "control.nkey").write_text(SEED + "\n")
    write_passfile(found.passfiles / "agentplane_read", 5432, "agentplane_read", PASSWORD)
    (found.secrets / "user" / "TOKEN").write_text(BUNDLE_SECRET)
    pem = (found.keys / "control.key").read_text()
    encoded = base64.b64encode(BUNDLE_SECRET.encode()).decode()
    (found.logs / "control.log").write_text(
        "\n".join(
            [
                f"connected with password={PASSWORD}",
                json.dumps({"seed": SEED, "secret": BUNDLE_SECRET, "key": pem}),
                f"postgresql://agentplane_append:{PASSWORD}@127.0.0.1/agentplane",
                f"curl -H 'Authorization: token {UNKNOWN_TOKEN}'",
                f"encoded {encoded} {PASSWORD.encode().hex()}",
                pem,
                f"raw {BUNDLE_SECRET}",
                "an ordinary line",
            ]
        )
    )
    (found.config / "control.json").write_text(
        json.dumps(
            {
                "postgres": {"conninfo": f"host=127.0.0.1 password={PASSWORD}", "passfile": "/run/pass"},
                "api_token": "hunter2",
                "signing_key_file": "/run/control.key",
            }
        )
    )
    (found.config / "broken.json").write_text("{" + SEED)
    return found


def planted(layout: Layout) -> set[str]:
    pem = (layout.keys / "control.key").read_text()
    body = {line for line in pem.splitlines() if not line.startswith("-----")}
    words = {PASSWORD, SEED, BUNDLE_SECRET, UNKNOWN_TOKEN, "hunter2", *body}
    encoded = {PASSWORD.encode().hex(), base64.b64encode(BUNDLE_SECRET.encode()).decode()}
    return words | encoded | {json.dumps(BUNDLE_SECRET)[1:-1]}


def unpacked(path: Path) -> dict[str, str]:
    with tarfile.open(path) as tar:
        return {name: file.read().decode() for name in tar.getnames() if (file := tar.extractfile(name))}


def test_no_planted_secret_is_in_it(layout: Layout, tmp_path: Path) -> None:
    make(layout, tmp_path / "bundle.tar.gz", now=NOW)
    found = unpacked(tmp_path / "bundle.tar.gz")
    raw = gzip.decompress((tmp_path / "bundle.tar.gz").read_bytes()).decode("utf-8", "replace")
    for secret in planted(layout):
        assert secret in (layout.logs / "control.log").read_text() + (layout.config / "control.json").read_text()
        assert secret not in raw
        assert not any(secret in text for text in found.values())
    log = found["agentplane-support/log/control.log"]
    assert "an ordinary line" in log
    assert MASK in log
    config = json.loads(found["agentplane-support/config/control.json"])
    assert config["signing_key_file"] == "/run/control.key"
    assert config["api_token"] == MASK


def test_a_stack_that_is_down_still_answers_for_what_it_can(layout: Layout, tmp_path: Path) -> None:
    files = make(layout, tmp_path / "bundle.tar.gz", now=NOW)
    found = unpacked(tmp_path / "bundle.tar.gz")
    assert {f"agentplane-support/{name}" for name in files} == set(found)
    assert json.loads(found["agentplane-support/projections.json"])["error"]["code"] == "support.no-stack"
    assert json.loads(found["agentplane-support/doctor.json"])["checks"]
    assert json.loads(found["agentplane-support/versions.json"])["packages"]["msgspec"]
    assert json.loads(found["agentplane-support/stack-status.json"]) == []


def test_it_is_for_its_owner_and_replaces_nothing(layout: Layout, tmp_path: Path) -> None:
    target = tmp_path / "bundle.tar.gz"
    make(layout, target, now=NOW)
    assert target.stat().st_mode & 0o777 == 0o600
    with pytest.raises(Conflict):
        make(layout, target, now=NOW)
    with pytest.raises(NotFound):
        make(Layout(tmp_path / "nowhere"), tmp_path / "other", now=NOW)


def test_a_secret_that_slips_through_stops_everything(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentplane.support.archive.redact_text", lambda text, _: text)
    with pytest.raises(Broken) as caught:
        make(layout, tmp_path / "bundle.tar.gz", now=NOW)
    assert caught.value.code == "support.secret"
    assert PASSWORD not in str(caught.value)
    assert list(tmp_path.glob("bundle*")) == []


@given(
    secret=st.text(st.characters(codec="utf-8"), min_size=6, max_size=80),
    before=st.text(max_size=40),
    after=st.text(max_size=40),
)
def test_a_known_value_never_survives(secret: str, before: str, after: str) -> None:
    cleaned = redact_text(f"{before}{secret}{after}", {secret})
    try:
        require_clean("text", cleaned.encode("utf-8", "replace"), {secret})
    except Broken:  # what was around it and the mask spelled it anew: nothing is handed out
        assert set(secret) & set(MASK)
    else:
        assert secret not in cleaned


@pytest.fixture
def grown(layout: Layout, tmp_path: Path) -> dict[str, str]:
    """What a stack has besides once executors joined, TLS and a cache were set up; all of it in a log, too."""
    state = layout.root / "executors" / "exec-b" / "keys" / "current"
    state.mkdir(parents=True)
    generate_key_pair(state, "executor")
    nkeys.create_seed_file(state / "nats.nkey")
    nkeys.create_account_seed_file(layout.nkeys / "issuer.nkey")
    token = "apjoin_" + "Q7" * 20
    (layout.nkeys / "exec-b.token").write_text(token + "\n")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("s3cret-of-another-place\n")
    (layout.config / "executor.json").write_text(
        json.dumps({"tls": {"key_file": str(elsewhere)}, "public_key_file": 1})
    )
    found = {
        "signing key": (state / "executor.key").read_text().splitlines()[1],
        "bus key": (state / "nats.nkey").read_text().strip(),
        "issuer": (layout.nkeys / "issuer.nkey").read_text().strip(),
        "join token": token,
        "join token of another stack": "apjoin_" + "Z9" * 20,
        "cache signing key": secret_text("builder-1", bytes(range(32))),
        "tls key": "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIabc\n-----END EC PRIVATE KEY-----",
        "file that a setting names": elsewhere.read_text().strip(),
    }
    (layout.logs / "executor-exec-b.log").write_text("\n".join(f"{name} {value}" for name, value in found.items()))
    return found


def test_keys_and_tokens_of_joined_executors_caches_and_tls_stay_here(
    layout: Layout, grown: dict[str, str], tmp_path: Path
) -> None:
    make(layout, tmp_path / "bundle.tar.gz", now=NOW)
    texts = unpacked(tmp_path / "bundle.tar.gz")
    log = texts["agentplane-support/log/executor-exec-b.log"]
    for name, value in grown.items():
        assert f"{name} {MASK}" in log, name
        assert not [file for file, text in texts.items() if value in text or "MHcCAQEEIabc" in text], name


def test_public_keys_stay() -> None:
    secret = secret_text("builder-1", bytes(range(32)))
    public = str(public_part(secret))
    assert redact_text(f"trusts {public} and {secret}", ()) == f"trusts {public} and {MASK}"


def test_every_secret_file_is_known(layout: Layout) -> None:
    known = known_secrets(layout.root)
    assert {PASSWORD, SEED, BUNDLE_SECRET} <= known
    assert not any(len(each) < 6 for each in known)


def test_names_of_secrets_and_of_files_stay() -> None:
    value = {"nkey_seed_file": "/a", "db_password": "x", "list": [{"token": "t", "tokens": 3}], "secret": ""}
    assert redact_json(value) == {
        "nkey_seed_file": "/a",
        "db_password": MASK,
        "list": [{"token": MASK, "tokens": 3}],
        "secret": "",
    }
