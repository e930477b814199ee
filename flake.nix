{
  description = "agentplane: an execution control plane for governed bundle runs";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-26.05";

  outputs = { self, nixpkgs }:
    let
      inherit (nixpkgs) lib;
      systems = [ "x86_64-linux" "aarch64-linux" ];
      eachSystem = make: lib.genAttrs systems (system: make nixpkgs.legacyPackages.${system});
      kit = pkgs: import ./vm { inherit pkgs; inherit (pkgs) system; };
      guest = pkgs: name: pkgs.linkFarm "guest-${name}" [{
        name = "guest.json";
        path = (kit pkgs).spec { inherit name; bundle = ./bundles + "/${name}"; };
      }];
      script = pkgs: name: {
        type = "app";
        program = "${pkgs.writeShellScript name ''exec ${self.packages.${pkgs.system}.agentplane}/bin/agentplane ${name} "$@"''}";
      };
    in
    {
      packages = eachSystem (pkgs: rec {
        default = agentplane;
        agentplane = pkgs.callPackage ./modules/nix/package.nix { };
        guest-example-agent = guest pkgs "example-agent";
        guest-license-audit = guest pkgs "license-audit";
        guest-noop = guest pkgs "noop";
      });

      apps = eachSystem (pkgs: {
        default = { type = "app"; program = "${self.packages.${pkgs.system}.agentplane}/bin/agentplane"; };
        doctor = script pkgs "doctor";
        demo = {
          type = "app";
          program = "${import ./modules/nix/demo.nix { inherit pkgs; inherit (self.packages.${pkgs.system}) agentplane; }}";
        };
      });

      nixosModules = lib.genAttrs [ "default" "control" "projector" "executor" "database" "bus" "context" ]
        (name: { imports = [ (./modules + "/${name}.nix") ]; });

      nixosConfigurations = lib.mapAttrs
        (host: system: lib.nixosSystem {
          inherit system;
          modules = [ self.nixosModules.default (./fleet/hosts + "/${host}.nix") ];
        })
        { control = "x86_64-linux"; exec-a = "x86_64-linux"; exec-b = "x86_64-linux"; exec-arm = "aarch64-linux"; };

      checks = eachSystem (pkgs: { inherit (self.packages.${pkgs.system}) agentplane; }
        // import ./modules/nix/checks { inherit pkgs; inherit (self.packages.${pkgs.system}) agentplane; modules = self.nixosModules.default; });

      devShells = eachSystem (pkgs: { default = import ./modules/nix/shell.nix { inherit pkgs; }; });
      formatter = eachSystem (pkgs: pkgs.nixfmt);
    };
}
