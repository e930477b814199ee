"""Placement: who can take a run, who takes it, and why nobody else does.

In: a request, the declared inventory, what executors report, the policy, `now`. Out: a `Placement`: the chosen executor
or none, and a table with every executor, its reasons, and what would change the answer. `feasible` filters, `rank`
scores, `place` chooses, `artifact` writes it down. Deterministic: same input, same output, in whatever order it comes.
"""
