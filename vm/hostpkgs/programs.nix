# Debian's dynamically linked programs, made to run inside the build sandbox and inside a guest.
#
# Neither has /lib64/ld-linux-x86-64.so.2, so each program is a wrapper that calls the
# dynamic loader of its own store path.
{ dpkg, builders }:
let
  program = { name, packages, bins }:
    let
      files = dpkg.tree { name = "${name}-files"; inherit packages; };
      libraries = "${files}/lib/x86_64-linux-gnu";
    in
    builders.runCommand name { } ''
      mkdir -p $out/bin
      for bin in ${toString bins}; do
        {
          echo '#!${builders.coreutils}/bin/sh'
          echo "exec ${libraries}/ld-linux-x86-64.so.2 --argv0 \"\$0\" --library-path ${libraries} ${files}/bin/$bin \"\$@\""
        } > $out/bin/$bin
        chmod +x $out/bin/$bin
      done
    '';
in
{
  inherit program;
  erofs-utils = program {
    name = "erofs-utils";
    bins = [ "mkfs.erofs" "fsck.erofs" "dump.erofs" ];
    packages = [ "erofs-utils" "libc6" "libuuid1" "libselinux1" "liblz4-1" "libpcre2-8-0" ];
  };
  lz4 = program { name = "lz4"; bins = [ "lz4" ]; packages = [ "lz4" "libc6" ]; };
  bash = program { name = "bash"; bins = [ "bash" ]; packages = [ "bash" "libtinfo6" "libc6" ]; };
}
