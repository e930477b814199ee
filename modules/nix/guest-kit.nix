# What all guests share, built: kernel, initrd and the probe that proves a machine can boot them; and the kit's source.
{ pkgs, kit }:
pkgs.runCommand "agentplane-guest-kit" { } ''
  mkdir -p $out/share/agentplane
  cp -r ${../../vm} $out/share/agentplane/vm
  ln -s ${kit.kernel}/kernel $out/kernel
  ln -s ${kit.initrd}/initrd.cpio $out/initrd.cpio
  ln -s ${kit.probe} $out/probe.json
''
