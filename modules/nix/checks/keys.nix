# Keys for a test, made when it is built: everybody can read them in the store, which is what makes them test keys.
# $out/users.json has the public halves of the NATS users.
{ pkgs, agentplane, executors }:
let
  python = pkgs.python3.withPackages (_: [ (pkgs.python3Packages.toPythonModule agentplane) ]);
  script = pkgs.writeText "make-test-keys.py" ''
    import json, secrets, sys
    from pathlib import Path

    from agentplane.bus import nkeys
    from agentplane.evidence.edge import generate_key_pair

    here, executors = Path(sys.argv[1]), sys.argv[2:]
    for name in ("control", *executors):
        generate_key_pair(here, name)
    users = ("control", "projector", "user", *executors)
    public = {name: nkeys.create_seed_file(here / f"{name}.nkey") for name in users}
    (here / "users.json").write_text(json.dumps(public))
    for role in ("owner", "append", "project", "read"):
        (here / f"{role}.pgpass").write_text(f"*:*:*:agentplane_{role}:{secrets.token_hex(24)}\n")
  '';
in
pkgs.runCommand "agentplane-test-keys" { } ''
  mkdir $out
  ${python}/bin/python3 ${script} $out ${toString executors}
''
