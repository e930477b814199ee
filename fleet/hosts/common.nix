# What every sample host has. Replace boot and fileSystems by your hardware's.
{
  boot.loader.grub.device = "/dev/vda";
  fileSystems."/" = { device = "/dev/disk/by-label/nixos"; fsType = "ext4"; };
  system.stateVersion = "24.05";
}
