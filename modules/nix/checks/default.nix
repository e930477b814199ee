# What `nix flake check` builds: the package, and NixOS VM tests. docs/deploy.md says which of them were run.
#   own   this flake's packages for that system
{ pkgs, system, own, modules }:
let
  nixos = import (pkgs.path + "/nixos/lib") { inherit (pkgs) lib; };
  test = file: (nixos.evalTest {
    imports = [ (import file { inherit pkgs modules; inherit (own) agentplane; }) ];
    hostPkgs = pkgs;
  }).config.rawTestDerivation;
in
{
  inherit (own) agentplane;
  # guests run on x86_64 only, and these tests run guests
} // (if system != "x86_64-linux" then { } else {
  fleet-runs-a-bundle = test ./fleet.nix;
})
