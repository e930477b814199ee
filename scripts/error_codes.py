"""The tables of codes in docs/errors.md, read from where they are raised.   usage: error_codes.py [--check]"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from agentplane import errors
from agentplane.bundles.codes import CODES as BUNDLES
from agentplane.documents.codes import CODES as DOCUMENTS
from agentplane.enrolment.codes import CODES as ENROLMENT
from agentplane.fleet.codes import CODES as FLEET
from agentplane.imports.codes import CODES as IMPORTS
from agentplane.placement.codes import CODES as PLACEMENT

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "errors.md"
HEAD = """# Exit statuses and error codes

Every error is printed on stderr as `error: <where>: <message> [<code>]`, with a hint where there is something to do.
Codes are stable; messages are for people. This page is made by `scripts/error_codes.py` from where they are raised.

| exit status | meaning | class |
|--:|---|---|
| 0 | yes | |
| 1 | a negative answer: the run failed, the replay diverged, verify said no, a process is down | |
| 2 | the input or the usage is wrong; nothing was done | Refused |
| 3 | no such thing, or none that you may see | NotFound |
| 4 | not allowed | Denied |
| 5 | somebody else was first: reread and decide again | Conflict |
| 6 | a part is down, full or slow: try again | Transient |
| 7 | bytes are not what was signed or chained | Tampered |
| 8 | a tool of this host failed | Broken |
| 130, 141 | interrupted; the reader of the output has gone | |

## Errors

| code | status | says |
|---|--:|---|
"""
CLASSES = {name: kind.exit_status for name, kind in vars(errors).items() if isinstance(kind, type)}
FINDINGS = {
    "Documents": DOCUMENTS,
    "Bundles (findings of `agentplane validate`)": BUNDLES,
    "Fleet inventories": FLEET,
    "Executors: joining, and why one is not accepted": ENROLMENT,
    "Placement (reasons in `agentplane explain`)": PLACEMENT,
    "Imports (lines that `agentplane events import` cannot take)": IMPORTS,
}


def raised() -> Iterator[tuple[str, int, str]]:
    """(code, exit status, message) of every call that makes an error with a literal code."""
    for package in ("agentplane", "services"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CLASSES:
                    for keyword in node.keywords:
                        if keyword.arg == "code" and isinstance(keyword.value, ast.Constant):
                            yield str(keyword.value.value), CLASSES[node.func.id], _message(node.args)


def _message(arguments: list[ast.expr]) -> str:
    first = arguments[0] if arguments else ast.Constant("")
    if isinstance(first, ast.Constant):
        return str(first.value)
    if isinstance(first, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in first.values)
    return "…"


def render() -> str:
    """The whole page."""
    rows: dict[str, tuple[int, str]] = {}
    for code, status, message in sorted(raised()):
        if code not in rows or rows[code][1] in {"…", ""}:
            rows[code] = (status, message)
    lines = [f"| `{code}` | {status} | {_cell(message)} |" for code, (status, message) in sorted(rows.items())]
    page = HEAD + "\n".join(lines) + "\n"
    for title, codes in FINDINGS.items():
        page += f"\n## {title}\n\n| code | meaning |\n|---|---|\n"
        page += "\n".join(f"| `{code}` | {_cell(meaning)} |" for code, meaning in sorted(codes.items())) + "\n"
    return page


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").strip()


def main() -> int:
    """Write the page, or with --check compare it."""
    if "--check" not in sys.argv:
        PAGE.write_text(render())
        return 0
    if PAGE.exists() and PAGE.read_text() == render():
        return 0
    print("docs/errors.md is stale: run scripts/error_codes.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
