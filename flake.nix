{
  description = "agentplane: an execution control plane for governed bundle runs";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-26.05";

  outputs = { self, nixpkgs }:
    let
      inherit (nixpkgs) lib;
      # make: system -> its packages -> what this flake has of them -> an output
      eachSystem = make: lib.genAttrs [ "x86_64-linux" "aarch64-linux" ]
        (system: make system nixpkgs.legacyPackages.${system} self.packages.${system});
      hosts = { control = "x86_64-linux"; exec-a = "x86_64-linux"; exec-b = "x86_64-linux"; exec-arm = "aarch64-linux"; };
    in
    {
      packages = eachSystem (system: pkgs: _: import ./modules/nix/packages.nix { inherit pkgs system; });

      apps = eachSystem (_: pkgs: own: import ./modules/nix/apps.nix { inherit pkgs; inherit (own) agentplane; });

      nixosModules = lib.genAttrs [ "default" "control" "projector" "executor" "database" "bus" "context" "release" "backup" "cache" ]
        (name: { imports = [ (./modules + "/${name}.nix") ]; });

      nixosConfigurations = lib.mapAttrs
        (host: system: lib.nixosSystem {
          inherit system;
          modules = [ self.nixosModules.default (./fleet/hosts + "/${host}.nix") ];
        })
        hosts;

      checks = eachSystem (system: pkgs: own:
        import ./modules/nix/checks {
          inherit pkgs system own;
          hosts = lib.filterAttrs (host: _: hosts.${host} == system) self.nixosConfigurations;
          modules = self.nixosModules.default;
        });

      devShells = eachSystem (_: pkgs: _: { default = import ./modules/nix/shell.nix { inherit pkgs; }; });

      formatter = eachSystem (_: pkgs: _: pkgs.nixfmt);
    };
}
