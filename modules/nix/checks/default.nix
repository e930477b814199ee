# NixOS VM tests. Run by `nix flake check` where nixpkgs can be had; see docs/deploy.md for where they were.
{ pkgs, agentplane, modules }:
let
  nixos = import (pkgs.path + "/nixos/lib") { inherit (pkgs) lib; };
  test = file: (nixos.evalTest { imports = [ (import file { inherit agentplane modules; inherit pkgs; }) ]; hostPkgs = pkgs; }).config.rawTestDerivation;
in
{
  fleet-runs-a-bundle = test ./fleet.nix;
}
