# Entry point of the guest kit: a bundle goes in, a description that a runner can start comes out.
#
#   nix-build vm -A spec --argstr kernelDeb DEB --argstr bundle DIR --argstr name NAME
#
# With `pkgs` (nixpkgs) the guest is made of nixpkgs; with `kernelDeb`, of this machine's Debian
# packages; with neither, of <nixpkgs>. What each attribute yields is described in README.md.
{ system ? builtins.currentSystem
, kernelDeb ? null
, kernelSha256 ? import ./lib/kernel-digest.nix kernelDeb
, pkgs ? import ./lib/packages.nix { inherit system kernelDeb kernelSha256; }
}:
let
  payload = import ./guest/payload.nix { inherit pkgs; };
  guest = import ./guest { inherit pkgs; };
in
{
  inherit pkgs;
  inherit (guest) kernel initrd probe;

  # The bundle as a virtual machine: one JSON file.
  spec = { bundle, name, module ? "guest.nix", smoke ? "smoke.sh" }:
    guest.spec (payload { inherit bundle name module smoke; });

  # The bundle as a sandboxed process: one JSON file.
  process = { bundle, name, module ? "guest.nix", smoke ? "smoke.sh" }:
    import ./process.nix { inherit pkgs; } (payload { inherit bundle name module smoke; });

  # A directory as a read-only disk. Names listed in `exclude` (space separated) are left out.
  input = { name, path, exclude ? ".git" }:
    import ./guest/input.nix { inherit pkgs; } { inherit name path exclude; };
}
