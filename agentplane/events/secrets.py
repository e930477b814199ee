"""What may never enter the log: inline secrets. Pure; a found value is never repeated, only its place and its shape.

Two rules: text that has the shape of a credential, anywhere; and a key whose name means a secret with inline text as
its value. Handles (`secret://…`, `secrets://…`), names of secrets and empty values pass. Base64 is not decoded: whoever
signs a DSSE statement checks it before it becomes a `payload`.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

import jsonschema_rs
import msgspec

SHAPES: Final[dict[str, str]] = {
    "pem-private-key": r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----",
    "age-secret-key": r"\bAGE-SECRET-KEY-1[0-9A-Z]{20,}",
    "github-token": r"\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_[A-Za-z0-9_]{20,}",
    "gitlab-token": r"\bglpat-[A-Za-z0-9_-]{16,}",
    "aws-access-key": r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
    "slack-token": r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}",
    "google-api-key": r"\bAIza[A-Za-z0-9_-]{35}",
    "openai-key": r"\bsk-(?:proj-|ant-)?[A-Za-z0-9_-]{32,}",
    "stripe-key": r"\b[sr]k_live_[A-Za-z0-9]{16,}",
    "npm-token": r"\bnpm_[A-Za-z0-9]{36}\b",
    "json-web-token": r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}",
    "join-token": r"\bapjoin_[A-Za-z0-9_-]{32,}",
    "nats-seed": r"\bS[UAONC][A-Z2-7]{56}\b",
    "url-password": r"\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@?#]{1,64}:[^\s/:@?#]{1,128}@",
    "assignment": (
        r"\b(?i:password|passwd|api[_-]?key|client[_-]?secret|access[_-]?token)\s*[:=]\s*[\"']?[^\s\"'<$*{(]{6,}"
    ),
}
ANY_SHAPE: Final = re.compile("|".join(f"(?P<{name.replace('-', '_')}>{shape})" for name, shape in SHAPES.items()))

# whole words at the end of a key, in snake, kebab or camel case: "db_password" and "apiKey", not "passwordPolicy"
SECRET_KEY: Final = re.compile(
    r"(?:^|_)(?:password|passwd|passphrase|secret|secret_key|secret_access_key|private_key|api_?key|access_key"
    r"|auth_token|access_token|refresh_token|bearer_token|id_token|token|credential|credentials|client_secret)$"
)
# Words of which every rule above needs one: most events have none and are not searched further. jsonschema-rs is the
# one linear-time regular expression engine among our dependencies, a tenth of the cost of `re` for many alternatives.
_WORDS: Final = (
    "private|age-secret|gh[pousr]_|github_pat_|glpat-|akia|asia|xox|aiza|sk-|k_live_|npm_|[.]eyj|://"
    "|apjoin_|password|passwd|passphrase|secret|token|api.?key|access.?key|credential"
)
MARKERS: Final = f"{_WORDS}|s[uaonc][a-z2-7]{{56}}"


def _searched_for(pattern: str) -> jsonschema_rs.Validator:
    return jsonschema_rs.validator_for({"pattern": pattern}, pattern_options=jsonschema_rs.RegexOptions())


_MARKED: Final = _searched_for(f"(?i){MARKERS}")
# the same of ASCII text, five times faster: few literals of one case are searched for many bytes at once
_LOWER_WORDS: Final = _searched_for(_WORDS)
_SEED: Final = _searched_for("S[UAONC][A-Z2-7]{56}")
CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
HANDLE: Final = re.compile(r"secrets?://\S*|vault://\S*|sops://\S*|fd://\d+|\$\{?[A-Za-z_][A-Za-z0-9_]*\}?")
REDACTED: Final = frozenset({"", "***", "redacted", "[redacted]", "<redacted>"})
MAX_REPORTED: Final = 20


class SecretFound(msgspec.Struct, frozen=True):
    """Where something that looks like a secret stands, and what it looks like. Never the value."""

    path: str
    shape: str  # a key of SHAPES, or "secret-key-name"


def find_secrets(data: Any, path: str = "data") -> tuple[SecretFound, ...]:  # noqa: ANN401 - any JSON value
    """Every place in a JSON value where a secret seems to stand (at most 20); empty when it may be stored."""
    found: list[SecretFound] = []
    for secret in _search(data, path):
        found.append(secret)
        if len(found) == MAX_REPORTED:
            break
    return tuple(found)


def may_hold_secret(encoded: bytes) -> bool:
    """Whether JSON bytes need a closer look by `find_secrets`: never False where that would find something."""
    if not encoded.isascii():
        return _MARKED.is_valid(encoded.decode())
    # ASCII bytes are the same text in Latin 1, which is decoded by copying
    lower, text = encoded.lower().decode("latin-1"), encoded.decode("latin-1")
    return _LOWER_WORDS.is_valid(lower) or _SEED.is_valid(text)


def is_secret_name(key: str) -> bool:
    """Whether a key's name means that its value is a secret: `password`, `db_password`, `apiKey`, `X-Auth-Token`."""
    words = CAMEL.sub("_", key).replace("-", "_").replace(".", "_").lower()
    return SECRET_KEY.search(words) is not None


def _search(value: Any, path: str) -> Iterator[SecretFound]:  # noqa: ANN401 - any JSON value
    if isinstance(value, str):
        match = ANY_SHAPE.search(value)
        if match is not None:
            yield SecretFound(path, str(match.lastgroup).replace("_", "-"))
    elif isinstance(value, dict):
        yield from _search_object(value, path)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _search(item, f"{path}[{index}]")


def _search_object(value: dict[str, Any], path: str) -> Iterator[SecretFound]:
    for key, item in value.items():
        if ANY_SHAPE.search(key) is not None:
            yield SecretFound(path, "key")  # the key itself is the secret: it is not named either
            continue
        place = f"{path}.{key}"
        if isinstance(item, str) and is_secret_name(key) and not _is_handle(item):
            yield SecretFound(place, "secret-key-name")
            continue
        yield from _search(item, place)


def _is_handle(value: str) -> bool:
    """A reference or a blank, not a value. A lone NAME_LIKE_THIS is the name of a secret."""
    text = value.strip()
    if text.lower() in REDACTED or HANDLE.fullmatch(text) is not None:
        return ANY_SHAPE.search(text) is None
    return re.fullmatch(r"[A-Z][A-Z]*(?:_[A-Z]+)+", text) is not None
