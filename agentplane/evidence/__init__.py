"""Evidence: signed, chained claims about a run that a stranger can check without trusting us.

In: artifact documents, links, keys. Out: DSSE envelopes over in-toto Statements, journals, seals, verify reports.
Everything decides on bytes it is given; only `edge`, `journal_file` and `export_file` open files, none opens a socket.
"""
