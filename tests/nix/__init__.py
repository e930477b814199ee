"""The guest kit: builds in the Nix sandbox, boots in QEMU."""
