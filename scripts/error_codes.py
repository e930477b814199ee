"""The tables of codes in docs/errors.md, read from where they are raised.   usage: error_codes.py [--check]"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from agentplane import errors
from agentplane.bundles.codes import CODES as BUNDLES
from agentplane.documents.codes import CODES as DOCUMENTS
from agentplane.enrolment.codes import CODES as ENROLMENT
from agentplane.fleet.codes import CODES as FLEET
from agentplane.imports.codes import CODES as IMPORTS
from agentplane.placement.codes import CODES as PLACEMENT

ROOT = Path(__file__).resolve().parent.parent
TREES = ("agentplane", "services")
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
| 130, 141 | interrupted, and the last line says what goes on all the same; the reader of the output has gone | |

## Errors

| code | status | says |
|---|--:|---|
"""
CLASSES = {name: kind.exit_status for name, kind in vars(errors).items() if isinstance(kind, type)}
# a fact that the command line raises as Refused
CLASSES["RunRefused"] = errors.Refused.exit_status
FINDINGS = {
    "Documents": DOCUMENTS,
    "Bundles (findings of `agentplane validate`)": BUNDLES,
    "Fleet inventories": FLEET,
    "Executors: joining, and why one is not accepted": ENROLMENT,
    "Placement (reasons in `agentplane explain`)": PLACEMENT,
    "Imports (lines that `agentplane events import` cannot take)": IMPORTS,
}


class Maker(NamedTuple):
    """A function that makes an error of a code that its caller names. `says`: the parameter with the message."""

    parameters: list[str]
    code: str
    status: int
    says: str | None
    message: str


def raised() -> Iterator[tuple[str, int, str]]:
    """(code, exit status, message) of every call that makes an error, itself or through a function of ours."""
    trees = {path: ast.parse(path.read_text()) for tree in TREES for path in sorted((ROOT / tree).rglob("*.py"))}
    makers = {path: dict(_makers(tree)) for path, tree in trees.items()}
    for path, tree in trees.items():
        known = {**_imported(tree, makers), **makers[path]}
        constants = dict(_constants(tree))
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                yield from _codes_of(node, node.func.id, known, constants)


def _codes_of(
    call: ast.Call, name: str, makers: dict[str, Maker], constants: dict[str, str]
) -> Iterator[tuple[str, int, str]]:
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    if name in CLASSES:
        for code in _strings(given.get("code"), constants):
            yield code, CLASSES[name], _message(call.args or [given.get("message", ast.Constant(""))])
    elif name in makers:
        maker = makers[name]
        given |= dict(zip(maker.parameters, call.args, strict=False))
        message = _message([given[maker.says]]) if maker.says in given else maker.message
        for code in _strings(given.get(maker.code), constants):
            yield code, maker.status, message


def _makers(tree: ast.Module) -> Iterator[tuple[str, Maker]]:
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef):
            continue
        parameters = [each.arg for each in (*function.args.posonlyargs, *function.args.args)]
        named = {*parameters, *(each.arg for each in function.args.kwonlyargs)}
        for call in ast.walk(function):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in CLASSES:
                code = next((each.value for each in call.keywords if each.arg == "code"), None)
                if isinstance(code, ast.Name) and code.id in named:
                    first = call.args[0] if call.args else None
                    says = first.id if isinstance(first, ast.Name) and first.id in named else None
                    yield function.name, Maker(parameters, code.id, CLASSES[call.func.id], says, _message(call.args))


def _imported(tree: ast.Module, makers: dict[Path, dict[str, Maker]]) -> dict[str, Maker]:
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            of_module = makers.get(ROOT / f"{node.module.replace('.', '/')}.py", {})
            found |= {each.asname or each.name: of_module[each.name] for each in node.names if each.name in of_module}
    return found


def _constants(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in tree.body:
        if (
            isinstance(node, ast.AnnAssign)
            and isinstance(node.target, ast.Name)
            and isinstance(node.value, ast.Constant)
        ):
            yield node.target.id, str(node.value.value)


def _strings(value: ast.expr | None, constants: dict[str, str]) -> Iterator[str]:
    """The codes that an expression can be: a literal, a constant of its module, either side of a choice."""
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        yield value.value
    elif isinstance(value, ast.Name) and value.id in constants:
        yield constants[value.id]
    elif isinstance(value, ast.IfExp):
        yield from _strings(value.body, constants)
        yield from _strings(value.orelse, constants)
    elif isinstance(value, ast.BoolOp):
        for each in value.values:
            yield from _strings(each, constants)


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
