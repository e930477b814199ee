"""The domain `work`: the event families of VerMAS. Everything about it is in this folder.

aliases (two vocabularies as one) → streams (whose history an event is)
"""
