import ./executor.nix "exec-a"
