"""Licences of source files: text in, findings out. Pure; opens nothing.

A finding is a statement that grants a licence: a licence's own text, an SPDX tag or the FSF's notice in a
comment, a field of package metadata. A text that merely talks about a licence, such as a policy, a list of
identifiers or a test's sample in a string, grants nothing: it is a mention, shown but never refused.
"""
