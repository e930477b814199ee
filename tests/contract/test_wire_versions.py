"""Control and executors of different versions: what the first release said is understood, what a later one adds is not
in the way. In an upgrade control goes first and executors follow one by one, so both pairs are at work for a while.
"""

import json
from typing import Any

import msgspec
import pytest

from agentplane.enrolment.requests import AnnouncementReply, JoinReply, JoinRequest, KeyAnnouncement
from agentplane.runs.protocol import Assignment, HeartbeatReply, HeartbeatRequest
from tests.unit.executor.samples import assignment

# Literally what the first release writes at least. Never edited: a peer of that version goes on writing it.
FIRST: dict[type[Any], str] = {
    HeartbeatRequest: """{"executor": "exec-a", "keyId": "00", "bootId": "b", "journalIndex": 3, "journalDigest": "d",
        "active": [{"run": "r", "tenant": "t", "epoch": 1}],
        "facts": {"os": "linux", "arch": "x86_64", "backends": ["microvm"], "networks": ["none"], "vcpus": 2,
          "kvm": {"usable": false, "cause": "absent: /dev/kvm"}, "memoryMib": 1024, "diskMib": 2048, "secrets": [],
          "draining": false, "versions": {"agentplane": "0.1.0"}}}""",
    HeartbeatReply: """{"accepted": true, "message": "", "assignments": [], "committedIndex": 3, "heartbeatSeconds": 5,
        "cancellations": [{"run": "r", "tenant": "t", "epoch": 1, "reason": "asked"}]}""",
    JoinRequest: """{"name": "exec-a", "keys": {"keyId": "00", "publicKey": "p", "nkey": "U"}, "signature": "s"}""",
    JoinReply: """{"state": "pending"}""",
    KeyAnnouncement: """{"name": "exec-a", "keys": {"keyId": "00", "publicKey": "p", "nkey": "U"},
        "previousKeyId": "11", "previousSignature": "s", "signature": "s"}""",
    AnnouncementReply: """{"accepted": true}""",
}


def added(value: Any) -> Any:
    """As a later version might write it: something new in every object."""
    if isinstance(value, dict):
        inner = {key: item if key == "versions" else added(item) for key, item in value.items()}  # that is a plain map
        return inner | {"ofTomorrow": {"x": [1]}}
    return [added(item) for item in value] if isinstance(value, list) else value


def understood(type_: type[Any], document: Any) -> Any:
    return msgspec.json.decode(json.dumps(document).encode(), type=type_)


@pytest.mark.parametrize("type_", FIRST, ids=lambda type_: type_.__name__)
def test_a_peer_of_the_first_version_is_understood(type_: type[Any]) -> None:
    first = json.loads(FIRST[type_])
    written = json.loads(msgspec.json.encode(understood(type_, first)))
    assert {key: written[key] for key in first} == first  # nothing of it is overlooked


@pytest.mark.parametrize("type_", FIRST, ids=lambda type_: type_.__name__)
def test_what_a_newer_peer_adds_is_passed_over(type_: type[Any]) -> None:
    document = json.loads(FIRST[type_])
    assert understood(type_, added(document)) == understood(type_, document)


def test_an_executor_of_the_first_version_reads_todays_answer() -> None:
    """It knows no field that came later: defaults are not even written."""
    reply = HeartbeatReply(
        accepted=True, message="", assignments=(), cancellations=(), committed_index=3, heartbeat_seconds=5
    )
    assert msgspec.json.decode(msgspec.json.encode(reply)).keys() == {*json.loads(FIRST[HeartbeatReply])}


def test_an_assignment_of_a_newer_control_is_understood() -> None:
    sample = assignment()
    said = msgspec.to_builtins(sample)
    newer = msgspec.json.encode({**said, "ofTomorrow": 1, "pins": {**said["pins"], "ofTomorrow": 1}})
    assert msgspec.json.decode(newer, type=Assignment) == sample
