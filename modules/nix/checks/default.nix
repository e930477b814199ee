# What `nix flake check` builds: the package, the sample hosts' settings as their daemons check them, and NixOS VM tests.
# docs/deploy.md says which of them were run.
#   own     this flake's packages for that system
#   hosts   this flake's nixosConfigurations for that system
{ pkgs, system, own, hosts, modules }:
let
  inherit (pkgs) lib;
  tests = import ./tests.nix { inherit pkgs modules; inherit (own) agentplane; };
  settings = host: { config, ... }:
    let rendered = lib.filterAttrs (name: _: lib.hasPrefix "agentplane/" name && lib.hasSuffix ".json" name) config.environment.etc;
    in
    pkgs.runCommand "agentplane-settings-${host}" { } ''
      mkdir -p $out
      ${lib.concatStringsSep "\n" (lib.mapAttrsToList (name: file: "ln -s ${file.source} $out/${baseNameOf name}") rendered)}
    '';
in
{
  inherit (own) agentplane;
}
// lib.mapAttrs' (host: it: lib.nameValuePair "settings-${host}" (settings host it)) hosts
  # guests run on x86_64 only, and the VM tests run guests
  // lib.optionalAttrs (system == "x86_64-linux") (lib.mapAttrs (_: test: test.rawTestDerivation) tests)
