"""Offline verification of 10,000 statements against the bare cryptography over the same bytes, on one core.

The statements are whole runs, signed as in the tests. Bare is: one Ed25519 verification of each pre-authentication
encoding, and one SHA-256 of each line and of each file. Ours is everything that `agentplane evidence verify` does
with an export in memory: form, schemas, authority, chains, seals, documents, manifest.
"""

import gc
import hashlib
import time
from statistics import median

from agentplane.evidence.dsse import open_envelope, pae
from agentplane.evidence.export import Export
from agentplane.evidence.keys import TrustedKeys
from agentplane.evidence.statement import RunRef
from agentplane.evidence.verify import verify_export
from scripts.bench.report import Line, Unmeasured
from tests.unit.evidence.story import NOW, Story, as_export

ROUNDS = 5
STATEMENTS = 10_000
GOAL = 1.5


def measure() -> list[Line]:
    """Interleaved rounds over the same runs."""
    stories = _stories()
    keys = stories[0].keys()
    contents = [story.contents() for story in stories]
    exports = [as_export(files) for files in contents]
    lines = [line for export in exports for line in (export.evidence or b"").splitlines()]
    others = [data for files in contents for path, data in files.items() if path != "evidence.jsonl"]
    gc.collect()
    gc.freeze()  # thousands of runs wait in memory here; a verifier holds one, and does not walk over the others
    rows = [(_ours(exports, keys), _bare(lines, others, keys)) for _ in range(ROUNDS)]
    ours, bare = (median(column) for column in zip(*rows, strict=True))
    return [
        Line(
            name=f"verify {len(lines):,} statements offline",
            ours=f"{ours:.2f} s",
            peer=f"{bare:.2f} s Ed25519 + SHA-256",
            ratio=f"{ours / bare:.2f}x",
            goal=f"<= {GOAL}x",
            met=ours <= GOAL * bare,
        )
    ]


def _stories() -> list[Story]:
    each = len(Story().records())
    count = -(-STATEMENTS // each)
    return [Story(run=RunRef(tenant="acme", name=f"hello-{number:04}", epoch=1)) for number in range(count)]


def _ours(exports: list[Export], keys: TrustedKeys) -> float:
    started = time.perf_counter()
    verified = [verify_export(export, keys, NOW).verified for export in exports]
    elapsed = time.perf_counter() - started
    if not all(verified):
        raise Unmeasured("an export that is right was not verified")
    return elapsed


def _bare(lines: list[bytes], others: list[bytes], keys: TrustedKeys) -> float:
    opened = [open_envelope(line) for line in lines]
    signed = [(keys.find(each.key_id).public_key, each.signature, pae(each.payload)) for each in opened]
    started = time.perf_counter()
    for key, signature, message in signed:
        key.verify(signature, message)
    for data in (*lines, *others):
        hashlib.sha256(data).digest()
    return time.perf_counter() - started
