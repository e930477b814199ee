# A slim guest: kernel and initrd are every bundle's, only the payload image is its own.
{ pkgs }:
let
  kernel = import ../lib/vmlinux.nix { inherit pkgs; };
  initrd = import ./initrd.nix { inherit pkgs; };
  image = import ./image.nix { inherit pkgs; };

  # cryptomgr.notests: 0.25 s of self-tests less under emulation. panic=-1: QEMU ends at once.
  cmdline = "console=ttyS0 quiet reboot=t panic=-1 oops=panic cryptomgr.notests";

  common = {
    apiVersion = "agentplane.guest/v1";
    kernel = "${kernel}/kernel";
    initrd = "${initrd}/initrd.cpio";
    machine = {
      arch = "x86_64";
      types = [ "microvm" "q35" ];
      minMemoryMiB = 128;
      # Without it a microvm under TCG can stall at timer calibration; wrong under KVM.
      tcgCmdline = "tsc_early_khz=2600000";
    };
  };
in
{
  inherit kernel initrd;

  spec = payload: pkgs.writeText "${payload.name}-guest.json" (builtins.toJSON (common // {
    inherit cmdline;
    inherit (payload) name entry environment;
    path = payload.path ++ [ "/bin" ];
    image = "${image payload}";
    workingDirectory = "${payload.source}";
  }));

  # Boots the real kernel and init, says the sentinel on the serial console, powers off.
  probe = pkgs.writeText "probe-guest.json" (builtins.toJSON (common // {
    name = "probe";
    cmdline = "${cmdline} agentplane.probe";
    sentinel = "agentplane-probe-ok";
  }));
}
