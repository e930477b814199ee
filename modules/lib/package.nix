# services.agentplane.package: where the daemons, their units and the command line come from.
{ lib, pkgs, ... }:
{
  options.services.agentplane.package = lib.mkOption {
    type = lib.types.package;
    default = pkgs.callPackage ../nix/package.nix { };
    defaultText = lib.literalExpression "agentplane's own package";
    description = "The package that the daemons and the command line come from.";
  };
}
