# Stand-ins for the few packages that our modules name, and the real formats: for evaluation only.
{ tree, lib }:
let
  stub = name: { type = "derivation"; inherit name; outPath = "/nix/store/00000000000000000000000000000000-${name}"; };
  pkgs = lib.genAttrs [ "qemu" "bubblewrap" "util-linux" "coreutils" "nats-server" "nix" "postgresql" ] stub // {
    formats = import (tree + "/pkgs/pkgs-lib/formats.nix") { inherit lib pkgs; };
    callPackage = _: _: stub "agentplane";
    runCommand = name: _: _: stub name;
    writeText = name: _: stub name;
    runtimeShell = "/bin/sh";
    inherit lib;
  };
in
pkgs
