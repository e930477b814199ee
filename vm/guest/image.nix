# The payload's closure as the guest's /nix/store.
{ pkgs }: payload:
let
  numbered = builtins.genList (index: [ "graph-${toString index}" (builtins.elemAt payload.roots index) ]) (builtins.length payload.roots);
in
import ../lib/erofs.nix { inherit pkgs; } {
  name = "${payload.name}-payload.erofs";
  env.exportReferencesGraph = builtins.concatLists numbered;
  populate = ''
    for path in $(cat graph-* | grep '^/nix/store/' | sort -u); do cp -a "$path" tree/; done
  '';
}
