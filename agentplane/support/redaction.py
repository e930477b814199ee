"""Taking secrets out of text, twice: by what they look like, and by what they are.

The host's own secrets are read, so that each of their values, plain or encoded, is replaced wherever it stands; a last
look refuses to hand out anything that still has one. Pure but for `known_secrets`.
"""

import base64
import contextlib
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from agentplane.errors import Broken
from agentplane.events.secrets import ANY_SHAPE, is_secret_name

MASK: Final = "[redacted]"
MIN_SECRET_CHARS: Final = 6  # shorter ones stand in any text by chance
_PEM: Final = re.compile(
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY[ A-Z]*-----|\Z)", re.DOTALL
)
# the last two: keys that executors made for themselves when they joined
_PATTERNS: Final = ("keys/*.key", "nkeys/*", "secrets/**/*", "executor/keys/*/*key", "executors/*/keys/*/*key")
_CONFIGURATIONS: Final = ("config/*.json", "config/executors/*.json")
# of a setting that names a file with a secret in it, which may lie anywhere
_NAMES_SECRET: Final = re.compile(r"(?:signing_key|seed|token|(?<!public_)key)_file$")
# name:base64 of 64 bytes. A cache's signatures look the same: those go as well
_CACHE_KEY: Final = re.compile(r"\b[A-Za-z0-9][A-Za-z0-9._-]{0,127}:[A-Za-z0-9+/]{86}==")
_PASSFILES: Final = "passfiles/*"


def known_secrets(state_dir: Path) -> frozenset[str]:
    """Every secret value below a state directory in all the forms that text may have it in.

    Raises:
        Broken: `support.unreadable`: a secret that cannot be read cannot be looked for.
    """
    values: set[str] = set()
    try:
        for pattern in _PATTERNS:
            for path in state_dir.glob(pattern):
                if path.is_file():
                    values |= _values(path.read_bytes())
        for path in _configured(state_dir):
            if path.is_file():
                values |= _values(path.read_bytes())
        for path in state_dir.glob(_PASSFILES):
            values |= {line.rsplit(":", 1)[-1] for line in path.read_text().splitlines()}
    except OSError as exc:
        raise Broken(
            f"cannot be read, so its value cannot be kept out: {exc.strerror}",
            code="support.unreadable",
            where=str(exc.filename),
            hint="run this as the owner of the state directory",
        ) from exc
    return frozenset(form for value in values for form in _forms(value) if len(form) >= MIN_SECRET_CHARS)


def _configured(state_dir: Path) -> Iterator[Path]:
    """Files that configuration names as secret ones, wherever they are."""
    for pattern in _CONFIGURATIONS:
        for path in state_dir.glob(pattern):
            with contextlib.suppress(ValueError):  # a damaged one names nothing
                yield from _named(json.loads(path.read_text(encoding="utf-8", errors="replace")))


def _named(value: Any) -> Iterator[Path]:  # noqa: ANN401 - any JSON value
    for key, item in value.items() if isinstance(value, dict) else ():
        if isinstance(item, str) and _NAMES_SECRET.search(key):
            yield Path(item)
        else:
            yield from _named(item)


def _values(data: bytes) -> set[str]:
    text = data.decode("utf-8", "replace")
    lines = {line.strip() for line in text.splitlines() if not line.startswith("-----")}
    return {text.strip(), *lines, *({data.hex(), base64.b64encode(data).decode()} if data else ())}


def _forms(value: str) -> Iterator[str]:
    raw = value.encode("utf-8", "replace")
    yield value
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    yield quote(value, safe="")
    yield raw.hex()
    for encode in (base64.b64encode, base64.urlsafe_b64encode, base64.b32encode):
        yield encode(raw).decode().rstrip("=")


def redact_text(text: str, known: Iterable[str]) -> str:
    """Text without known secrets and without what looks like one."""
    for secret in sorted(known, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return ANY_SHAPE.sub(MASK, _CACHE_KEY.sub(MASK, _PEM.sub(MASK, text)))


def redact_json(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """A JSON value whose fields with a secret's name are masked; names of files that hold one stay."""
    if isinstance(value, dict):
        return {key: _field(key, item) for key, item in value.items()}
    if isinstance(value, list):
        return [redact_json(item) for item in value]
    return value


def _field(key: str, item: Any) -> Any:  # noqa: ANN401 - any JSON value
    return MASK if isinstance(item, str) and item and is_secret_name(key) else redact_json(item)


def require_clean(name: str, data: bytes, known: Iterable[str]) -> None:
    """Raises Broken (`support.secret`), naming the file and not the value: redaction failed, nothing is handed out."""
    text = data.decode("utf-8", "replace")
    if any(secret in text for secret in known):
        raise Broken("a secret of this host is still in it", code="support.secret", where=name, hint="report this bug")
