# What `nix run` starts.
{ pkgs, agentplane }:
let
  app = program: { type = "app"; program = "${program}"; };
  main = app "${agentplane}/bin/agentplane";
  doctor = pkgs.writeShellScript "agentplane-doctor" ''exec ${agentplane}/bin/agentplane doctor "$@"'';
in
{
  default = main;
  agentplane = main;
  doctor = app doctor;
  demo = app (import ./demo.nix { inherit pkgs agentplane; });
}
