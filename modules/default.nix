# All of agentplane's NixOS modules. What is not enabled costs nothing.
{
  imports = [ ./control.nix ./projector.nix ./executor.nix ./database.nix ./bus.nix ./context.nix ./release.nix ./backup.nix ./cache.nix ];
}
