"""JSON Schemas of our kinds, facts and the event envelope, generated into the package.   usage: schemas.py [--check]

agentplane/schemas/generated/ has a file for each, and index.json, which lists these and the artifacts' (those are
written by hand beside it: they are contracts with others). `agentplane schema NAME -o json` prints the same.
"""

import sys
from pathlib import Path
from typing import Any

import orjson

from agentplane.domains.discovery import OURS
from agentplane.domains.documentation import json_schema
from agentplane.domains.facts import json_schema as fact_schema
from agentplane.domains.registry import Registry
from agentplane.events.cloudevents import json_schema as event_schema
from agentplane.schemas import registry as artifacts

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "agentplane" / "schemas" / "generated"
INIT = '"""Made by scripts/schemas.py from the models; a test of the repository says when they are old."""\n'


def generated() -> dict[str, bytes]:
    """Every file by its name."""
    registry = Registry(OURS)
    schemas: dict[str, tuple[str, dict[str, Any]]] = {"Event": ("event", event_schema())}
    schemas |= {kind.name: ("kind", json_schema(kind)) for kind in registry}
    schemas |= {fact.name: ("fact", fact_schema(fact)) for fact in registry.facts.values()}
    files = {f"{name}.schema.json": _bytes(schema) for name, (_, schema) in schemas.items()}
    entries = [_entry(name, what, schema, f"{name}.schema.json") for name, (what, schema) in schemas.items()]
    entries += [_artifact(name) for name in artifacts.names()]
    files["index.json"] = _bytes({"schemas": sorted(entries, key=lambda entry: (entry["what"], entry["name"]))})
    files["__init__.py"] = INIT.encode()
    return files


def _entry(name: str, what: str, schema: dict[str, Any], file: str) -> dict[str, str]:
    return {"name": name, "what": what, "description": schema.get("description", ""), "file": file}


def _artifact(name: str) -> dict[str, str]:
    kind, _, version = name.partition(".")
    return _entry(name, "artifact", artifacts.document(name), f"../{kind}.schema.{version}.json")


def _bytes(value: object) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def old(files: dict[str, bytes]) -> list[str]:
    """Names of files that are missing, other than they should be, or no longer made."""
    there = {path.name: path.read_bytes() for path in TARGET.glob("*") if path.is_file()}
    return sorted(name for name in files.keys() | there.keys() if files.get(name) != there.get(name))


def main() -> int:
    """Write the files, or with --check say which are old."""
    files = generated()
    if "--check" in sys.argv[1:]:
        if found := old(files):
            print(f"old: {', '.join(found)}; run scripts/schemas.py", file=sys.stderr)
        return 1 if found else 0
    TARGET.mkdir(exist_ok=True)
    for name in old(files):
        if name in files:
            (TARGET / name).write_bytes(files[name])
        else:
            (TARGET / name).unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
