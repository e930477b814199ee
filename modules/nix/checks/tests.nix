# The NixOS VM tests as configurations: `nodes`, `testScript`, and what builds them.
{ pkgs, agentplane, modules }:
let
  nixos = import (pkgs.path + "/nixos/lib") { inherit (pkgs) lib; };
  hosts = import ./hosts.nix { inherit pkgs agentplane modules; };
  test = file: (nixos.evalTest {
    imports = [ (import file { inherit pkgs agentplane hosts; }) ];
    hostPkgs = pkgs;
  }).config;
in
{
  fleet-runs-a-bundle = test ./fleet.nix;
  host-rebooted-mid-run = test ./reboot.nix;
  bad-release-reverses-itself = test ./release.nix;
  executor-joins-and-is-revoked = test ./revoked.nix;
  demo = test ./demo.nix;
}
