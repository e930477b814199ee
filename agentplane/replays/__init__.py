"""Replays: does running it again give the same? In: what was, what came now. Out: a verdict. Pure."""
