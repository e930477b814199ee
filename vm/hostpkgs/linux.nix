# Debian's cloud kernel, unpacked from a package that is pinned by its digest.
{ builders, kernelDeb, kernelSha256 }:
let
  deb = builtins.path {
    path = if builtins.isPath kernelDeb then kernelDeb else /. + kernelDeb;
    name = "linux-image.deb";
    recursive = false;
    sha256 = kernelSha256;
  };
in
builders.runCommand "linux-debian-cloud" { } ''
  mkdir unpacked $out $out/lib
  dpkg-deb -x ${deb} unpacked
  cp unpacked/boot/vmlinuz-* $out/bzImage
  cp unpacked/boot/config-* $out/config
  cp -a unpacked/lib/modules $out/lib/
''
