# Our modules under nixpkgs' own lib, with just enough of NixOS around them to hear what they say.
#   tree   a nixpkgs checkout; lib/ and pkgs/pkgs-lib are enough
#   host   a NixOS module
{ tree, host }:
let
  lib = import (tree + "/lib");
  pkgs = import ./pkgs.nix { inherit tree lib; };
  free = lib.mkOption { type = lib.types.attrsOf lib.types.anything; default = { }; };
  names = lib.mkOption { type = lib.types.listOf lib.types.str; default = [ ]; };
  service = lib.types.submodule {
    freeformType = lib.types.attrsOf lib.types.anything;
    options = lib.genAttrs [ "after" "wants" "requires" ] (_: names);
  };
  nixos = {
    options = lib.genAttrs [ "boot" "environment" "fileSystems" "nix" "system" "users" ] (_: free) // {
      systemd.services = lib.mkOption { type = lib.types.attrsOf service; default = { }; };
      systemd.timers = free;
      systemd.tmpfiles = free;
      systemd.packages = lib.mkOption { type = lib.types.listOf lib.types.unspecified; default = [ ]; };
      assertions = lib.mkOption { type = lib.types.listOf lib.types.unspecified; default = [ ]; };
      networking.hostName = lib.mkOption { type = lib.types.str; default = "nixos"; };
      networking.firewall.allowedTCPPorts = lib.mkOption { type = lib.types.listOf lib.types.port; default = [ ]; };
      services = { nats = free; postgresql = free; static-web-server = free; };
    };
    config = { nix.package = pkgs.nix; services.postgresql.package = pkgs.postgresql; _module.args = { inherit pkgs; }; };
  };
  inherit (lib.evalModules { modules = [ nixos ../../modules host ]; }) config;
  ours = config.services.agentplane;
in
{
  refused = map (it: it.message) (builtins.filter (it: !it.assertion) config.assertions);
  settings = lib.genAttrs [ "control" "projector" "executor" "context" ] (name: ours.${name}.settings);
  bus = { users = with ours.bus; if builtins.isAttrs users then users else lib.importJSON users; settings = config.services.nats.settings or { }; };
  backups = ours.backup.documents;
  timers = lib.attrNames config.systemd.timers;
  openPorts = config.networking.firewall.allowedTCPPorts;
  credentials = lib.mapAttrs (_: service: service.serviceConfig.LoadCredential or [ ]) config.systemd.services;
  services = lib.mapAttrs (_: service: service.serviceConfig or { }) config.systemd.services;
  order = lib.mapAttrs (_: service: service.after ++ service.requires ++ service.wants) config.systemd.services;
}
