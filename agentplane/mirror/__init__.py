"""The log as files for tail, grep and jq: a projection, never the truth. Delete it and it is written again."""
