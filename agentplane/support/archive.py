"""The bundle as one file: collected, redacted, looked through once more, then written whole or not at all."""

import io
import json
import os
import tarfile
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from agentplane.errors import Broken, Conflict, NotFound
from agentplane.stack.layout import Layout
from agentplane.support import collect
from agentplane.support.redaction import known_secrets, redact_json, redact_text, require_clean

LOG_LINES: Final = 500
ROOT: Final = "agentplane-support"


def make(layout: Layout, target: Path, *, now: datetime) -> dict[str, int]:
    """Write the bundle (tar, gzip, mode 0600); file names and sizes in bytes.

    Raises:
        NotFound: `support.no-stack`: no state directory. Conflict: `support.target`: the file is there already.
        Broken: `support.secret`, `support.unreadable`, `support.io`; nothing was written.
    """
    if not layout.root.is_dir():
        raise NotFound("no such directory", code="support.no-stack", where=str(layout.root), hint="--state-dir")
    if target.exists():
        raise Conflict("is there already", code="support.target", where=str(target), hint="name a new file")
    known = known_secrets(layout.root)
    files = {name: redact_text(text, known).encode() for name, text in _texts(layout).items()}
    for name, data in files.items():
        require_clean(name, data, known)
    _write(target, files, now)
    return {name: len(data) for name, data in files.items()}


def _texts(layout: Layout) -> dict[str, str]:
    found: dict[str, Any] = {name: collect.ask(part) for name, part in collect.parts(layout).items()}
    found |= dict(collect.configurations(layout))
    texts = {name: json.dumps(redact_json(value), indent=2, ensure_ascii=False) + "\n" for name, value in found.items()}
    return texts | dict(collect.logs(layout, LOG_LINES))


def _write(target: Path, files: dict[str, bytes], now: datetime) -> None:
    draft = target.with_name(target.name + ".partial")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file, tarfile.open(fileobj=file, mode="w:gz") as tar:
            for name, data in files.items():
                entry = tarfile.TarInfo(f"{ROOT}/{name}")
                entry.size, entry.mode, entry.mtime = len(data), 0o600, int(now.timestamp())
                tar.addfile(entry, io.BytesIO(data))
        draft.rename(target)
    except OSError as exc:
        draft.unlink(missing_ok=True)
        raise Broken(f"cannot be written: {exc.strerror}", code="support.io", where=str(target)) from exc
