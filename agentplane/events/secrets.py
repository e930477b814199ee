"""What may never enter the log: inline secrets. Pure; a found value is never repeated, only its place and its shape.

Two rules: text that has the shape of a credential, anywhere; and a key whose name means a secret with inline text or a
number of four digits or more (a count of tokens is not refused) as its value. Both hold in JSON that is kept as text,
however often it was quoted. Handles (`secret://…`, `secrets://…`), names of secrets and empty values pass. Base64 is
not decoded: whoever signs a DSSE statement checks it before it becomes a `payload`.
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
        r"\b(?i:password|passwd|api[_-]?key|client[_-]?secret|access[_-]?token)\s*[:=]\s*[\"']?"
        r"(?!(?:secrets?|vault|sops)://)[^\s\"'<$*{(]{6,}"
    ),
}
ANY_SHAPE: Final = re.compile("|".join(f"(?P<{name.replace('-', '_')}>{shape})" for name, shape in SHAPES.items()))
# a member of a JSON object amid other text, such as a log line; a document as a whole is parsed instead
_MEMBER: Final = re.compile(
    r"""(?<![A-Za-z])(?i:password|passwd|api[_-]?key|client[_-]?secret|access[_-]?token)\\*["']\s*:\s*"""
    r"""(?:\\*["'](?!(?:secrets?|vault|sops|fd)://|[A-Z]+(?:_[A-Z]+)+\\*["']|\[?(?i:redacted))[^\s"'<$*{(\\]{6,}|\d{4,})"""
)

# whole words at the end of a key, in snake, kebab or camel case: "db_password" and "apiKey", not "passwordPolicy"
SECRET_KEY: Final = re.compile(
    r"(?:^|_)(?:password|passwd|passphrase|secret|secret_key|secret_access_key|private_key|api_?key|access_key"
    r"|auth_token|access_token|refresh_token|bearer_token|id_token|token|credential|credentials|client_secret)$"
)
# Words of which every rule above needs one: most events have none and are not searched further. jsonschema-rs is the
# one linear-time regular expression engine among our dependencies, a tenth of the cost of `re` for many alternatives.
# The last line: JSON that is kept as text may escape letters and slashes, and is escaped again: \\u0070ass, :\\/\\/.
_WORDS: Final = (
    "private|age-secret|gh[pousr]_|github_pat_|glpat-|akia|asia|xox|aiza|sk-|k_live_|npm_|[.]eyj|://"
    "|apjoin_|password|passwd|passphrase|secret|token|api.?key|access.?key|credential"
    r"|\\\\/|\\\\u00[2-7]|\\\\u017f|\\\\u212a"
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
_JSON_SPACE: Final = " \t\r\n"
REDACTED: Final = frozenset({"", "***", "redacted", "[redacted]", "<redacted>"})
MAX_REPORTED: Final = 20
LEAST_NUMBER: Final = 1000  # below a key that means a secret; less is a count, or no secret for long


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
    """Without recursion: a quoted document may be nested deeper than whoever calls."""
    waiting = [(path, value)]
    while waiting:
        place, item = waiting.pop()
        if isinstance(item, str):
            if (shape := _shape(item)) is not None:
                yield SecretFound(place, shape)
            elif (document := _quoted(item)) is not None:
                waiting.append((place, document))
        elif isinstance(item, dict):
            yield from _search_members(item, place, waiting)
        elif isinstance(item, list | tuple):
            waiting.extend((f"{place}[{index}]", item[index]) for index in reversed(range(len(item))))


def _search_members(value: dict[str, Any], path: str, waiting: list[tuple[str, Any]]) -> Iterator[SecretFound]:
    """What the keys say; what they do not is left for later."""
    later: list[tuple[str, Any]] = []
    for key, item in value.items():
        if _shape(key) is not None:
            yield SecretFound(path, "key")  # the key itself is the secret: it is not named either
        elif is_secret_name(key) and _is_inline(item):
            yield SecretFound(f"{path}.{key}", "secret-key-name")
        else:
            later.append((f"{path}.{key}", item))
    waiting.extend(reversed(later))


def _shape(text: str) -> str | None:
    """The name of the shape that stands in a text."""
    if (match := ANY_SHAPE.search(text)) is not None:
        return str(match.lastgroup).replace("_", "-")
    return "assignment" if _MEMBER.search(text) is not None else None


def _quoted(text: str) -> Any | None:  # noqa: ANN401 - any JSON value
    """The object, array or text that a text is the JSON of; None: of none."""
    start = text.lstrip(_JSON_SPACE)[:1]
    if not start or start not in '{["':
        return None
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def _is_inline(value: Any) -> bool:  # noqa: ANN401 - any JSON value
    if isinstance(value, str):
        return not _is_handle(value)
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) >= LEAST_NUMBER


def _is_handle(value: str) -> bool:
    """A reference or a blank, not a value. A lone NAME_LIKE_THIS is the name of a secret."""
    text = value.strip()
    if text.lower() in REDACTED or HANDLE.fullmatch(text) is not None:
        return ANY_SHAPE.search(text) is None
    return re.fullmatch(r"[A-Z][A-Z]*(?:_[A-Z]+)+", text) is not None
