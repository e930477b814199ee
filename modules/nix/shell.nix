# What `scripts/test.sh` needs, from nixpkgs.
{ pkgs }:
pkgs.mkShell {
  packages = with pkgs; [ python3 nats-server postgresql qemu erofs-utils cpio lz4 bubblewrap busybox shellcheck nixfmt ];
}
