# The NixOS VM tests as far as they can be evaluated with a look-alike nixpkgs: every host of every test as a whole
# NixOS configuration, and the scripts. Nothing is built.
{ look }:
let
  flake = builtins.getFlake look;
  pkgs = flake.legacyPackages.x86_64-linux;
  inherit (flake) lib;
  tests = import ../../modules/nix/checks/tests.nix { inherit pkgs; modules = import ../../modules; agentplane = pkgs.hello; };
  host = _: node: {
    refused = map (it: it.message) (lib.filter (it: !it.assertion) node.assertions);
    inherit (node) warnings;
    units = lib.mapAttrs (_: unit: builtins.unsafeDiscardStringContext unit.text)
      (lib.filterAttrs (name: _: lib.hasPrefix "agentplane" name || name == "nats.service") node.systemd.units);
    etc = lib.filter (lib.hasPrefix "agentplane/") (lib.attrNames node.environment.etc);
    ports = node.networking.firewall.allowedTCPPorts;
  };
in
lib.mapAttrs
  (_: test: {
    inherit (test) name;
    hosts = lib.mapAttrs host test.nodes;
    script = builtins.unsafeDiscardStringContext test.testScriptString;
  })
  tests
