# The same on aarch64-linux; its guests are aarch64, too. Evaluated, never booted.
{ lib, ... }: {
  imports = [ (import ./executor.nix "exec-arm") ];
  boot.loader = { grub.enable = lib.mkForce false; generic-extlinux-compatible.enable = true; };
}
