# What a bundle brings into its guest: its own files, its packages, its environment.
{ pkgs }: { bundle, name, module, smoke }:
let
  inherit (builtins) attrNames concatStringsSep filter functionArgs hasAttr isAttrs isFunction pathExists;

  source = import ../lib/source.nix { path = bundle; name = "bundle-${name}"; };
  directory = /. + builtins.unsafeDiscardStringContext (toString bundle);

  refuse = reason: throw "bundle ${name}: ${module} ${reason}";

  # { pkgs, ... }: { packages = [ … ]; environment = { … }; }
  isNixosModule = declaration:
    isAttrs declaration && (declaration ? imports || declaration ? config || declaration ? options)
    || isFunction declaration
    && filter (arg: arg != "pkgs" && !(functionArgs declaration).${arg}) (attrNames (functionArgs declaration)) != [ ];

  declaration =
    if pathExists (directory + "/${module}") then import (directory + "/${module}")
    else refuse "is not in the bundle";
  declared =
    if isNixosModule declaration
    then refuse "is a NixOS module; a slim guest takes { pkgs, ... }: { packages, environment }, and a NixOS guest (backendIntent qemu) needs nixpkgs"
    else if isFunction declaration then declaration { inherit pkgs; } else declaration;

  unknown = attrNames (removeAttrs declared [ "packages" "environment" ]);
  checked =
    if !(isAttrs declared) then refuse "does not return a set"
    else if unknown != [ ] then refuse "sets ${concatStringsSep ", " unknown}; a slim guest knows packages and environment"
    else { packages = [ ]; environment = { }; } // declared;

  badNames = filter (key: builtins.match "[A-Za-z_][A-Za-z0-9_]*" key == null || hasAttr key reserved) (attrNames checked.environment);
  reserved = { PATH = true; };
in
if !(pathExists (directory + "/${smoke}")) then throw "bundle ${name}: the smoke script ${smoke} is not in the bundle"
else if badNames != [ ] then refuse "sets an environment name that no guest takes: ${concatStringsSep ", " badNames}"
else {
  inherit name source;
  inherit (checked) packages;
  environment = builtins.mapAttrs (_key: toString) checked.environment;
  entry = "${source}/${smoke}";
  path = map (package: "${package}/bin") checked.packages;
  roots = [ source ] ++ checked.packages;
}
