# A bundle without a virtual machine: what a sandbox has to bind, and what to start in it.
{ pkgs }: payload:
let
  shell = pkgs.pkgsStatic.busybox;
  applets = pkgs.runCommand "process-applets" { } ''
    mkdir -p $out/bin
    for applet in $(${shell}/bin/busybox --list); do ln -s ${shell}/bin/busybox $out/bin/$applet; done
  '';
  roots = payload.roots ++ [ applets ];
  numbered = builtins.genList (index: [ "graph-${toString index}" (builtins.elemAt roots index) ]) (builtins.length roots);
  head = builtins.toJSON {
    apiVersion = "agentplane.process/v1";
    inherit (payload) name entry environment;
    path = payload.path ++ [ "${applets}/bin" ];
    workingDirectory = "${payload.source}";
    # Paths that a sandbox must offer as links, because scripts name their interpreter by them.
    links = { "/bin/sh" = "${applets}/bin/sh"; "/usr/bin/env" = "${applets}/bin/env"; };
  };
in
pkgs.runCommand "${payload.name}-process.json"
{ inherit head; passAsFile = [ "head" ]; exportReferencesGraph = builtins.concatLists numbered; } ''
  closure=$(cat graph-* | grep '^/nix/store/' | sort -u | sed 's/.*/"&"/' | tr '\n' ',')
  { sed 's/}$//' "$headPath"; printf ',"closure":[%s]}' "''${closure%,}"; } > $out
''
