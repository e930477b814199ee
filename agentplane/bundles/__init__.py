"""Bundles: what somebody wants to run, judged before anything is created.

In: a document, what the edge saw of the bundle's files, the policy. Out: a report of all findings together, the
ValidationArtifact, the typed bundle, the pins of a run. The rules are pure; `edge` is the only module that looks at
a file system. No rule ever repeats the value of something that looks like a secret.
"""
