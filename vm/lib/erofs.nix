# A read-only erofs image of a directory that `populate` fills; the same files give the same bytes.
{ pkgs }: { name, env ? { }, populate }:
pkgs.runCommand name (env // { nativeBuildInputs = [ pkgs.erofs-utils ]; }) ''
  mkdir tree
  ${populate}
  mkfs.erofs -T 1 -x -1 --all-root -U 00000000-0000-0000-0000-000000000001 $out tree
''
