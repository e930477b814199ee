"""The table of error codes in docs/errors.md, read from where they are raised.   usage: error_codes.py [--check]"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "docs" / "errors.md"
HEAD = """# Exit statuses and error codes

Every error is printed as `error: <where>: <message> [<code>]` with a hint where there is something to do. With
`-o json`, data goes to stdout all the same, and errors to stderr.

| exit status | meaning | class |
|--:|---|---|
| 0 | yes | |
| 1 | a negative answer: the run failed, the replay diverged, a process is down | |
| 2 | the input or the usage is wrong; nothing was done | Refused |
| 3 | no such thing, or none that you may see | NotFound |
| 4 | not allowed | Denied |
| 5 | somebody else was first: reread and decide again | Conflict |
| 6 | a part is down, full or slow: try again | Transient |
| 7 | bytes are not what was signed or chained | Tampered |
| 8 | a tool of this host failed | Broken |

Codes are stable. This table is made by `scripts/error_codes.py` from where the codes are raised.

| code | class | raised in |
|---|---|---|
"""
CLASSES = {"Refused", "NotFound", "Denied", "Conflict", "Transient", "Tampered", "Broken"}


def codes() -> Iterator[tuple[str, str, str]]:
    """(code, class, file) of every raise that names both."""
    for path in sorted((ROOT / "agentplane").rglob("*.py")) + sorted((ROOT / "services").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CLASSES:
                for keyword in node.keywords:
                    if keyword.arg == "code" and isinstance(keyword.value, ast.Constant):
                        yield str(keyword.value.value), node.func.id, str(path.relative_to(ROOT))


def render() -> str:
    """The whole document."""
    rows: dict[tuple[str, str], set[str]] = {}
    for code, class_, path in codes():
        rows.setdefault((code, class_), set()).add(f"`{path}`")
    lines = [f"| `{code}` | {class_} | {', '.join(sorted(paths))} |" for (code, class_), paths in sorted(rows.items())]
    return HEAD + "\n".join(lines) + "\n"


def main() -> int:
    """Write the table, or with --check compare it."""
    if "--check" in sys.argv:
        current = TABLE.exists() and TABLE.read_text() == render()
        if not current:
            print("docs/errors.md is stale: run scripts/error_codes.py", file=sys.stderr)
        return 0 if current else 1
    TABLE.write_text(render())
    return 0


if __name__ == "__main__":
    sys.exit(main())
