# An input tree as a read-only disk; the guest mounts it at /inputs/<name>.
{ pkgs }: { name, path, exclude }:
let
  excluded = builtins.filter builtins.isString (builtins.split " +" exclude);
  # Sockets and devices have no place in a store; Nix calls their type "unknown".
  keep = file: type: type != "unknown" && !(builtins.elem (baseNameOf file) excluded);
  tree = import ../lib/source.nix { inherit path keep; name = "input-${name}"; };
in
if builtins.match "[a-z0-9][a-z0-9-]{0,62}" name == null
then throw "input ${name}: a name is 1 to 63 characters of a-z, 0-9 and -"
else import ../lib/erofs.nix { inherit pkgs; } {
  name = "input-${name}.erofs";
  populate = "cp -a ${tree}/. tree/";
}
