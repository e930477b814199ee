# The few nixpkgs attributes a guest is built from, taken from this machine's Debian packages.
#
# Takes the place of nixpkgs where there is none: same attribute names, same layout of the
# outputs that vm/ uses (${busybox}/bin/busybox, ${linux}/bzImage, ${linux}/lib/modules, …).
# Reads only /usr and dpkg's file lists at evaluation, and never the network.
{ system ? builtins.currentSystem
, kernelDeb # path of linux-image-*-cloud-amd64_*.deb
, kernelSha256 # its sha256, hex, as apt-cache prints it
}:
let
  dpkg = import ./hostpkgs/dpkg.nix;
  builders = import ./hostpkgs/builders.nix { inherit system dpkg; };
  programs = import ./hostpkgs/programs.nix { inherit dpkg builders; };
  python3 = import ./hostpkgs/python.nix { inherit dpkg builders; };
  linux = import ./hostpkgs/linux.nix { inherit builders kernelDeb kernelSha256; };
in
{
  inherit system python3 linux;
  inherit (builders) busybox coreutils runCommand writeText writeShellScript writeShellScriptBin;
  inherit (programs) bash erofs-utils lz4;
  # Here every applet is static, and cpio is one of them.
  pkgsStatic = { inherit (builders) busybox; };
  cpio = builders.coreutils;
}
