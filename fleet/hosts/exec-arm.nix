# The same on aarch64-linux. Slim guests are x86_64, so it offers sandboxed processes only. Evaluated, never booted.
{ lib, ... }: {
  imports = [ (import ./executor.nix "exec-arm") ];
  boot.loader = { grub.enable = lib.mkForce false; generic-extlinux-compatible.enable = true; };
  services.agentplane.executor.settings.backends = [ "process" ];
}
