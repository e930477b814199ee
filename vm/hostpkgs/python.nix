# Debian's Python 3.11 with its standard library, compiled ahead: a read-only guest cannot cache.
{ dpkg, builders }:
let
  files = dpkg.tree {
    name = "python3.11-files";
    packages = [
      "python3.11-minimal" "libpython3.11-minimal" "libpython3.11-stdlib" "libc6" "zlib1g" "libexpat1"
      "libssl3" "libffi8" "libbz2-1.0" "liblzma5" "libuuid1" "libsqlite3-0" "media-types"
    ];
  };
  # The loader goes by full path, and PYTHONHOME replaces the /usr that was compiled in.
  start = home: "${home}/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2";
in
builders.runCommand "python3-3.11" { } ''
  mkdir -p $out/bin
  cp -a ${files} $out/home
  chmod -R u+w $out/home
  launch() {
    echo "exec ${start "$out/home"} --argv0 \"\$0\" --library-path $out/home/lib/x86_64-linux-gnu $out/home/bin/python3.11 \"\$@\""
  }
  { echo '#!${builders.coreutils}/bin/sh'; echo "export PYTHONHOME=$out/home"; launch; } > $out/bin/python3
  chmod +x $out/bin/python3
  ln -s python3 $out/bin/python3.11
  # Hash-based and unchecked: the result does not depend on file times.
  PYTHONHASHSEED=0 $out/bin/python3 -m compileall -q -j 1 --invalidation-mode unchecked-hash $out/home/lib/python3.11
''
