"""The JSON Schemas of every document that enters or leaves, and their validators, compiled at first use.

The v0.1 and v0.2 files without `$id` are the seeds' own contracts (SocioProphet/agentplane, MIT), unchanged; the ones
with our `$id` are ours. All are draft 2020-12. A name is `<kebab-kind>.<version>`: `run-artifact.v0.1`. In: a name and
a JSON value. Out: what is wrong with it, in words that never repeat a value.
"""

from agentplane.schemas.registry import SchemaError, check, document, for_kind, names, validator

__all__ = ["SchemaError", "check", "document", "for_kind", "names", "validator"]
