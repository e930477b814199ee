# A directory of the caller as a store path. One that already is a store path is taken as it is:
# its digest is pinned elsewhere, and a copy would be the same files under another name.
{ name, path, keep ? _file: _type: true }:
let
  text = toString path;
  inStore = builtins.dirOf text == builtins.storeDir;
in
if inStore then builtins.storePath text
else if !(builtins.pathExists (/. + text)) then throw "${text} does not exist"
else builtins.path { path = /. + text; inherit name; filter = keep; }
