# nixpkgs' trivial builders, with a static busybox as the whole build environment.
{ system, dpkg }:
let
  # The directory matters: an applet is chosen by argv[0], so the file must be named busybox.
  busybox = dpkg.file { name = "busybox-static"; path = "/usr/bin/busybox"; };
  shell = "${busybox}/bin/busybox";

  coreutils = derivation {
    name = "busybox-applets";
    inherit system;
    builder = shell;
    args = [
      "sh"
      "-euc"
      ''
        ${shell} mkdir -p $out/bin
        for applet in $(${shell} --list); do ${shell} ln -s ${shell} $out/bin/$applet; done
      ''
    ];
  };

  binDirs = packages: builtins.concatStringsSep ":" (map (package: "${package}/bin") packages);

  runCommand = name: env: script: derivation (env // {
    inherit name system script;
    passAsFile = [ "script" ] ++ (env.passAsFile or [ ]);
    builder = shell;
    args = [
      "sh"
      "-euc"
      ''
        export PATH=${binDirs ((env.nativeBuildInputs or [ ]) ++ [ coreutils ])}
        export SOURCE_DATE_EPOCH=1 TZ=UTC LC_ALL=C
        umask 022
        . "$scriptPath"
      ''
    ];
  });

  writeFile = { name, text, destination ? "", executable ? false }:
    runCommand name { inherit text; passAsFile = [ "text" ]; } ''
      target=$out${destination}
      mkdir -p "$(dirname "$target")"
      cp "$textPath" "$target"
      chmod ${if executable then "755" else "644"} "$target"
    '';
in
{
  inherit busybox coreutils shell runCommand;
  writeText = name: text: writeFile { inherit name text; };
  writeShellScript = name: text:
    writeFile { inherit name; executable = true; text = "#!${coreutils}/bin/sh\n" + text; };
  writeShellScriptBin = name: text:
    writeFile { inherit name; executable = true; destination = "/bin/${name}"; text = "#!${coreutils}/bin/sh\n" + text; };
}
