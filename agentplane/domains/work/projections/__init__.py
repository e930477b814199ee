"""Read models of the families: what is the matter with work, mail, agents, processes, verifications and rules. Pure.

These events come from many sources and from imports, late and in any order. So each field of a view takes the value of
the newest event by the source's time, whatever the order in which events are folded; see `stamps`.
"""
