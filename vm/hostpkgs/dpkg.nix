# Installed Debian packages as store paths: only files that dpkg lists are read.
let
  inherit (builtins) attrNames concatLists elemAt filter isString listToAttrs match pathExists readFile split substring;

  lines = text: filter (line: isString line && line != "") (split "\n" text);

  # dpkg still names unmerged paths (/lib/…, /bin/…); on usr-merged Debian they live in /usr.
  merged = file:
    if match "/(bin|sbin|lib|lib64)(/.*)?" file == null then file else "/usr" + file;

  listOf = package:
    let
      plain = "/var/lib/dpkg/info/${package}.list";
      multiarch = "/var/lib/dpkg/info/${package}:amd64.list";
    in
    if pathExists (/. + plain) then /. + plain
    else if pathExists (/. + multiarch) then /. + multiarch
    else throw "the Debian package ${package} is not installed; fix: apt-get install ${package}";

  # Documentation, tests, and what a package's own scripts generate: not part of a guest.
  unwanted = file:
    match "/usr/share/(doc|man|locale|lintian|bash-completion|info|perl5|menu)(/.*)?" file != null
    || match ".*/(__pycache__|test|tests|idlelib|tkinter|lib2to3|pydoc_data|ensurepip|gconv|sitecustomize.py)(/.*)?" file != null;

  filesOf = package:
    filter (file: substring 0 5 file == "/usr/" && !(unwanted file)) (map merged (lines (readFile (listOf package))));
in
{
  # One store path that holds the /usr tree of `packages`, without the leading /usr.
  tree = { name, packages }:
    let
      wanted = listToAttrs (map (file: { name = file; value = true; }) (concatLists (map filesOf packages)));
    in
    builtins.path { path = /usr; inherit name; filter = file: _type: wanted ? ${file}; };

  # One file below /usr with the directories that lead to it.
  file = { name, path }:
    let
      parents = p: if p == "/usr" then [ ] else [ p ] ++ parents (builtins.dirOf p);
      wanted = parents path;
    in
    if pathExists (/. + path)
    then builtins.path { path = /usr; inherit name; filter = p: _type: builtins.elem p wanted; }
    else throw "${path} is missing; fix: apt-get install ${name}";
}
