"""Signed Nix binary caches: how bundles travel between hosts.

`narinfo` and `keys` are pure: what a cache says, and whether somebody we trust signed it. `reader`, `download`, `pull`
and `push` are the shell. Nothing of a cache reaches Nix before its signature, size and hash were checked here; Nix then
checks them again.
"""
