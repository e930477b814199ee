# What `nix flake check` builds: the package, and NixOS VM tests. docs/deploy.md says which of them were run.
#   own   this flake's packages for that system
{ pkgs, system, own, modules }:
let tests = import ./tests.nix { inherit pkgs modules; inherit (own) agentplane; };
in
{
  inherit (own) agentplane;
  # guests run on x86_64 only, and these tests run guests
} // (if system != "x86_64-linux" then { } else builtins.mapAttrs (_: test: test.rawTestDerivation) tests)
