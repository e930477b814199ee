# This machine's Debian packages in nixpkgs' place, for flake outputs that need no more than hostpkgs.nix has:
#
#   AGENTPLANE_KERNEL_DEB=$(vm/fetch-kernel.sh DIR | head -1) \
#     nix build --impure --no-write-lock-file --override-input nixpkgs path:$PWD/vm .#guest-noop
#
# No NixOS: nixosConfigurations, modules and the NixOS VM tests need nixpkgs.
{
  outputs = { self }:
    let
      system = "x86_64-linux";
      named = builtins.getEnv "AGENTPLANE_KERNEL_DEB";
      kernelDeb =
        if named != "" then named
        else throw "AGENTPLANE_KERNEL_DEB names no kernel package (or --impure is missing); fix: vm/fetch-kernel.sh DIR prints its path";
      pkgs = import ./hostpkgs.nix {
        inherit system kernelDeb;
        kernelSha256 = import ./lib/kernel-digest.nix kernelDeb;
      };
    in
    {
      lib = {
        inherit (builtins) mapAttrs;
        genAttrs = names: make: builtins.listToAttrs (map (name: { inherit name; value = make name; }) names);
      };
      legacyPackages = { ${system} = pkgs; aarch64-linux = throw "hostpkgs.nix knows x86_64-linux only"; };
    };
}
