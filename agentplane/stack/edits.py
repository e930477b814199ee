"""What an operator changed in a stack's rendered configuration outlives the next `stack up`. Pure but for its files.

Beside each rendered file lies what was rendered last (`config/.rendered/`): what differs from that is somebody's edit,
and goes into the new rendering as well. Without it, such as in a stack of an older version, the former file is kept
beside the new one for somebody to compare.
"""

import contextlib
import json
from pathlib import Path
from typing import Any, Final

from agentplane.stack.configs import Document
from agentplane.stack.provision import write_json

_RENDERED: Final = ".rendered"
_ABSENT: Final = object()


def rendered(path: Path, document: Document) -> tuple[str, ...]:
    """Write a configuration file anew with the edits that somebody made in it; what to say of them.

    Raises OSError.
    """
    base_path = path.parent / _RENDERED / path.name
    base_path.parent.mkdir(mode=0o700, exist_ok=True)
    base, current = _read(base_path), _read(path)
    edits: list[str] = []
    wanted: Any = document
    if isinstance(base, dict) and isinstance(current, dict):
        wanted = merged(base, current, document, edits)
    elif current is not _ABSENT and current != document:
        path.replace(path.with_name(path.name + ".before"))
        edits.append(f"written anew; the former one is {path.name}.before")
    write_json(path, wanted)
    write_json(base_path, document)
    return tuple(f"{path.name}: {edit}" for edit in edits)


def merged(base: Document, current: Document, new: Document, edits: list[str], where: str = "") -> Document:
    """The new rendering with every difference between the last one and the file as it is; names them in `edits`."""
    found = {}
    for key in (*new, *(key for key in current if key not in new)):
        value = _merged(tuple(each.get(key, _ABSENT) for each in (base, current, new)), edits, f"{where}{key}")
        if value is not _ABSENT:
            found[key] = value
    return found


def _merged(values: tuple[Any, ...], edits: list[str], where: str) -> Any:  # noqa: ANN401 - any JSON value
    base, current, new = values
    if current in (base, new):
        return new
    if isinstance(base, dict) and isinstance(current, dict) and isinstance(new, dict):
        return merged(base, current, new, edits, f"{where}.")
    edits.append(f"{where} is kept as somebody {'removed' if current is _ABSENT else 'set'} it")
    return current


def _read(path: Path) -> Any:  # noqa: ANN401 - any JSON value, or _ABSENT; None: it is damaged
    with contextlib.suppress(ValueError):
        return json.loads(path.read_text()) if path.exists() else _ABSENT
    return None
