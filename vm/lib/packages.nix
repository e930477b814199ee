# Where packages come from when the caller brings none: Debian if a kernel package is given, else nixpkgs.
{ system, kernelDeb, kernelSha256 }:
let
  nixpkgs = builtins.tryEval (toString <nixpkgs>);
in
if kernelDeb != null && kernelDeb != "" then import ../hostpkgs.nix { inherit system kernelDeb kernelSha256; }
else if nixpkgs.success then import (/. + nixpkgs.value) { inherit system; }
else throw "no source of packages: pass kernelDeb (vm/fetch-kernel.sh prints its path) or put nixpkgs on NIX_PATH"
