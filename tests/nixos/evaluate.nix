# Our modules under nixpkgs' own lib, with just enough of NixOS around them to hear what they say.
#   tree   a nixpkgs checkout; lib/ and pkgs/pkgs-lib are enough
#   host   a NixOS module
{ tree, host }:
let
  lib = import (tree + "/lib");
  stub = name: { type = "derivation"; inherit name; outPath = "/nix/store/00000000000000000000000000000000-${name}"; };
  pkgs = lib.genAttrs [ "qemu" "bubblewrap" "util-linux" "coreutils" "nats-server" "postgresql" ] stub // {
    formats = import (tree + "/pkgs/pkgs-lib/formats.nix") { inherit lib pkgs; };
    callPackage = _: _: stub "agentplane";
    runCommand = name: _: _: stub name;
    writeText = name: _: stub name;
    inherit lib;
  };
  free = lib.mkOption { type = lib.types.attrsOf lib.types.anything; default = { }; };
  nixos = {
    options = lib.genAttrs [ "boot" "environment" "fileSystems" "nix" "system" "systemd" "users" ] (_: free) // {
      assertions = lib.mkOption { type = lib.types.listOf lib.types.unspecified; default = [ ]; };
      networking.hostName = lib.mkOption { type = lib.types.str; default = "nixos"; };
      services = { nats = free; postgresql = free; };
    };
    config = { nix.package = stub "nix"; _module.args = { inherit pkgs; }; };
  };
  inherit (lib.evalModules { modules = [ nixos ../../modules host ]; }) config;
in
{
  refused = map (it: it.message) (builtins.filter (it: !it.assertion) config.assertions);
  settings = lib.genAttrs [ "control" "projector" "executor" ] (name: config.services.agentplane.${name}.settings);
  credentials = lib.mapAttrs (_: service: service.serviceConfig.LoadCredential or [ ]) config.systemd.services;
  services = lib.mapAttrs (_: service: service.serviceConfig or { }) config.systemd.services;
}
