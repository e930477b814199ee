"""The schema of events in the package is today's, and what we write fits it."""

import json
from importlib import resources

import pytest
from jsonschema_rs import Draft202012Validator

from agentplane.events.cloudevents import attributes, encode, json_schema
from tests.unit.mirror.made import made


def test_what_we_write_fits_the_schema_in_the_package() -> None:
    schema = json.loads((resources.files("agentplane.schemas.generated") / "Event.schema.json").read_bytes())
    assert schema == json_schema()
    validator = Draft202012Validator(schema)
    for event in (made(1), made(1).event):
        assert validator.is_valid(json.loads(encode(event)))


@pytest.mark.parametrize("missing", [name for name in attributes(made(1).event) if name in json_schema()["required"]])
def test_what_lacks_a_required_attribute_does_not(missing: str) -> None:
    document = {**json.loads(encode(made(1)))}
    del document[missing]
    assert not Draft202012Validator(json_schema()).is_valid(document)
