"""Small bundles, made on the spot."""

import json
from pathlib import Path
from typing import Any

from tests.stack.plane import ROOT

# Waits until somebody ends its `sleep`, so a test decides when it goes on.
GATED = 'echo waiting\nsleep 1000\necho "seed $AGENTPLANE_SEED" > "$AGENTPLANE_ARTIFACTS/report.txt"\nexit 0\n'


def make_bundle(
    parent: Path,
    script: str,
    *,
    name: str = "gated",
    backend: str = "lima-process",
    policy: dict[str, Any] | None = None,
    secrets: tuple[str, ...] = (),
    executor: str | None = None,
) -> Path:
    """A bundle directory; a sandboxed process in the dev lane unless told otherwise."""
    document = json.loads((ROOT / "bundles" / "noop" / "bundle.json").read_text())
    directory = parent / name
    directory.mkdir(parents=True)
    document["metadata"]["name"] = name
    spec = document["spec"]
    spec["vm"] |= {"backendIntent": backend, "modulePath": "guest.nix"}
    spec["policy"] |= {"lane": "dev", **(policy or {})}
    spec["secrets"]["required"] = list(secrets)
    spec["artifacts"]["outDir"] = f"./artifacts/{name}"
    spec["smoke"]["script"] = "smoke.sh"
    if executor is not None:
        spec["executor"] = {"ref": executor}
    (directory / "bundle.json").write_text(json.dumps(document))
    (directory / "guest.nix").write_text("_: { }\n")
    (directory / "smoke.sh").write_text(f"#!/bin/sh\n{script}")
    (directory / "smoke.sh").chmod(0o755)
    return directory
