# An input tree as a read-only disk; the guest mounts it at /inputs/<name>.
{ pkgs }: { name, path, exclude }:
let
  excluded = builtins.filter builtins.isString (builtins.split " +" exclude);
  # Sockets and devices have no place in a store; Nix calls their type "unknown".
  keep = file: type: type != "unknown" && !(builtins.elem (baseNameOf file) excluded);
  tree = builtins.path { path = if builtins.isString path then /. + path else path; name = "input-${name}"; filter = keep; };
in
# A virtio serial number holds 20 bytes, and "in-" takes three.
if builtins.match "[a-z0-9][a-z0-9-]{0,16}" name == null
then throw "input ${name}: a name is 1 to 17 characters of a-z, 0-9 and -"
else import ../lib/erofs.nix { inherit pkgs; } {
  name = "input-${name}.erofs";
  populate = "cp -a ${tree}/. tree/";
}
