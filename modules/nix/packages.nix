# Everything that can be built: the program, the guest kit, every bundle as a guest and as a process.
# Guests and kit need only what vm/hostpkgs.nix has, too: they build on a Debian machine without nixpkgs.
{ pkgs, system }:
let
  kit = import ../../vm { inherit pkgs system; };
  bundles = builtins.attrNames (builtins.readDir ../../bundles);
  described = prefix: name: description: pkgs.runCommand "${prefix}-${name}" { } ''
    mkdir $out
    ln -s ${description} $out/${prefix}.json
  '';
  each = prefix: build: builtins.listToAttrs (map
    (name: {
      name = "${prefix}-${name}";
      value = described prefix name (build { inherit name; bundle = ../../bundles + "/${name}"; });
    })
    bundles);
  # slim guests are x86_64 only: kernel image, machine types and the runner are
  guests = { guest-kit = import ./guest-kit.nix { inherit pkgs kit; }; } // each "guest" kit.spec;
  agentplane = pkgs.callPackage ./package.nix { };
in
{ inherit agentplane; default = agentplane; }
// each "process" kit.process
// (if system == "x86_64-linux" then guests else { })
