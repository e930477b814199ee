import ./executor.nix "exec-b"
