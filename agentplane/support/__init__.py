"""A support bundle: what somebody who helps must know of a stack, and no secret. Works on a stack that does not."""
