"""Every code that an inventory's findings can have, in words: for documentation; a test keeps it complete. Pure."""

from typing import Final

CODES: Final[dict[str, str]] = {
    "fleet.legacy": "warn: the untyped shape; it cannot say zones, health or backends",
    "fleet.schema": "a value is not what its schema says",
    "fleet.missing": "a required field is missing",
    "fleet.unknown-field": "a field nobody knows",
    "fleet.name": "a host's name cannot be a part of subjects and paths",
    "fleet.duplicate-name": "a name is listed twice",
    "fleet.ssh-ref": "not an ssh destination (an option, for example)",
    "fleet.trust-zone": "a trust zone is not a word",
    "fleet.trust-zone.empty": "warn: a lane wants a zone in which no executor is",
    "fleet.default-executor": "the default executor is not listed",
    "fleet.default-executor.unusable": "warn: the default executor takes no work",
    "fleet.default-builder": "the default builder is not listed",
    "fleet.default-builder.unusable": "warn: the default builder takes no work",
}
