# agentplane as a package: the programs, the units (with absolute paths) and the guest kit.
{ lib, python3Packages, bubblewrap, coreutils, nats-server, nix, postgresql, qemu, util-linux }:
python3Packages.buildPythonApplication {
  pname = "agentplane";
  version = "0.1.0";
  pyproject = true;
  src = lib.cleanSourceWith {
    src = ../../.;
    filter = path: _: !(lib.hasInfix "/." (lib.removePrefix (toString ../../.) path));
  };
  build-system = [ python3Packages.setuptools ];
  dependencies = with python3Packages; [
    click cryptography jsonschema-rs msgspec nats-py nkeys orjson prometheus-client psycopg pydantic pyyaml rfc8785 rich
    sdnotify structlog supervisor
  ];
  # the guest kit is evaluated by the executor, the units are enabled by the NixOS modules
  postInstall = ''
    mkdir -p $out/share/agentplane $out/lib/systemd/system
    cp -r vm bundles fleet $out/share/agentplane/
    for unit in services/units/*; do
      sed "/^Exec/{s|=agentplane\b|=$out/bin/agentplane|; s|=install |=${coreutils}/bin/install |; s|=rm |=${coreutils}/bin/rm |}" \
        $unit > $out/lib/systemd/system/$(basename $unit)
    done
    # not among pip's own programs: a unit starts the one, the build of a system the other
    program() { printf '#!/usr/bin/env python3\nimport sys\nfrom %s import main\nsys.exit(main())\n' $2 > $out/bin/$1; }
    program agentplane-database agentplane.store.initialise
    program agentplane-bus agentplane.bus.configure
    chmod +x $out/bin/agentplane-*
  '';
  makeWrapperArgs = [
    "--suffix PATH : ${lib.makeBinPath [ bubblewrap nats-server nix postgresql qemu util-linux ]}"
    "--set-default AGENTPLANE_VM_KIT ${placeholder "out"}/share/agentplane/vm"
  ];
  doCheck = false; # the suite starts servers and guests: scripts/test.sh
  meta = {
    description = "Execution control plane for governed bundle runs";
    license = lib.licenses.asl20;
    mainProgram = "agentplane";
  };
}
