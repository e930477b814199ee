"""The steps of offline verification, one function each: Case -> what was seen, or an error that says what is wrong.

`agentplane.evidence.verify` numbers them and runs them in order. Pure.
"""
