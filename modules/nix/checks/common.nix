# What the hosts of a test share: our modules, this flake's package, a network of their own.
{ agentplane, modules }:
{ lib, pkgs, ... }: {
  imports = [ modules ];
  services.agentplane.package = agentplane;
  networking.firewall.enable = false;
  # guests are built where they run, from what the test's own store holds
  nix.settings = { sandbox = true; experimental-features = [ "nix-command" "flakes" ]; substituters = lib.mkForce [ ]; };
  virtualisation = { memorySize = 2048; diskSize = 8192; writableStore = true; };
}
