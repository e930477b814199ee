# A control host and two executors: a bundle runs through on one of them, the other is chosen when that one is cut off.
# Secrets are copied out of the test's own store path at boot: the modules refuse to read them from there.
{ pkgs, agentplane, modules }:
let
  executors = [ "alpha" "beta" ];
  keys = import ./keys.nix { inherit pkgs agentplane executors; };
  common = import ./common.nix { inherit agentplane modules; };
  copied = files: {
    system.activationScripts.testKeys = ''
      install -d -m 0700 /var/keys
      ${pkgs.lib.concatStrings (pkgs.lib.mapAttrsToList
        (name: file: "install -m 0600 ${keys}/${file} /var/keys/${name}\n") files)}
    '';
  };
  same = names: pkgs.lib.genAttrs names (name: "/var/keys/${name}");
  # public keys of NATS users are known only once the keys are built, so the server reads a file made beside them
  bus = pkgs.runCommand "nats-users.conf" { nativeBuildInputs = [ pkgs.jq ]; } ''
    user() { jq -r ".[\"$1\"]" ${keys}/users.json; }
    cat > $out <<EOF
    users: [
      { nkey: $(user control), permissions: { publish: ">", subscribe: ">" } }
      { nkey: $(user projector), permissions: { publish: ">", subscribe: ">" } }
      { nkey: $(user user), permissions: { publish: ["agentplane.default.intent.>", "agentplane-query.default.*"],
        subscribe: ["_INBOX.$(user user).>", "agentplane.default.fact.>"] } }
    ${pkgs.lib.concatMapStrings (name: ''
      { nkey: $(user ${name}), permissions: { publish: ["agentplane-executor.${name}.>", "_INBOX.>"],
        subscribe: ["_INBOX.$(user ${name}).>", "agentplane-executor.${name}.wake", "agentplane-executor.${name}.artifact"] } }
    '') executors}
    ]
    EOF
  '';
  node = name: {
    inherit name;
    sshRef = name;
    enabled = true;
    platform = { os = "linux"; arch = "x86_64"; };
    supportedBackends = [ "microvm" ];
    capabilities = { nixBuild = true; vmBuild = true; };
    health.state = "ready";
    trustZone = "test";
  };
  inventory = pkgs.writeText "inventory.json" (builtins.toJSON {
    apiVersion = "agentplane.socioprophet.org/v0.1";
    kind = "FleetInventory";
    metadata = { name = "test"; version = "1"; createdAt = "2026-01-01T00:00:00Z"; };
    builders = map node executors;
    executors = map node executors;
    defaultBuilder = "alpha";
    defaultExecutor = "alpha";
    selectionPolicy = { preferHealthy = true; requireEnabled = true; };
  });
  context = pkgs.writeText "context.json" (builtins.toJSON {
    tenant = "default";
    servers = [ "nats://127.0.0.1:4222" ];
    nkey_seed_file = "/var/keys/user.nkey";
    trusted_keys_dir = "/etc/agentplane/trusted";
  });
  executor = name: {
    imports = [ common (copied { "executor.key" = "${name}.key"; "nats.nkey" = "${name}.nkey"; }) ];
    services.agentplane.executor = {
      enable = true;
      servers = [ "nats://control:4222" ];
      controlPublicKey = "${keys}/control.pub";
      credentials = same [ "executor.key" "nats.nkey" ];
    };
    # building a guest needs nixpkgs and what guests are made of, without a network
    nix.nixPath = [ "nixpkgs=${pkgs.path}" ];
    system.extraDependencies = with pkgs; [ pkgsStatic.busybox erofs-utils linuxPackages.kernel cpio lz4 stdenv ];
  };
in
{
  name = "agentplane-fleet";
  nodes = {
    control = {
      imports = [
        common
        (copied {
          "control.key" = "control.key";
          "control.nkey" = "control.nkey";
          "projector.nkey" = "projector.nkey";
          "user.nkey" = "user.nkey";
          "owner.pgpass" = "owner.pgpass";
          "append.pgpass" = "append.pgpass";
          "project.pgpass" = "project.pgpass";
          "read.pgpass" = "read.pgpass";
        })
      ];
      services.agentplane = {
        database = {
          enable = true;
          credentials = same [ "owner.pgpass" "append.pgpass" "project.pgpass" "read.pgpass" ];
        };
        bus = { enable = true; settings.authorization.include = "${bus}"; };
        control = {
          enable = true;
          inherit inventory;
          publicKeys = { control = "${keys}/control.pub"; alpha = "${keys}/alpha.pub"; beta = "${keys}/beta.pub"; };
          credentials = same [ "control.key" "append.pgpass" ] // { "nats.nkey" = "/var/keys/control.nkey"; };
        };
        projector = {
          enable = true;
          credentials = same [ "project.pgpass" "read.pgpass" ] // { "nats.nkey" = "/var/keys/projector.nkey"; };
        };
      };
      environment.etc."agentplane/context.json".source = context;
    };
    alpha = executor "alpha";
    beta = executor "beta";
  };

  testScript = ''
    import json

    start_all()
    ap = "agentplane --state-dir /etc/agentplane"
    noop = "${agentplane}/share/agentplane/bundles/noop"

    with subtest("every unit serves"):
        control.wait_for_unit("agentplane-control.service")
        control.wait_for_unit("agentplane-projector.service")
        for host in (alpha, beta):
            host.wait_for_unit("agentplane-executor.service")

    with subtest("both executors are reachable"):
        for name in ("alpha", "beta"):
            control.wait_until_succeeds(f"{ap} get executors | grep -E '^{name} +reachable'", timeout=900)

    with subtest("a bundle runs through"):
        # content-addressed, so it is the very path that `agentplane run` pins; no cache is part of this test
        for host in (alpha, beta):
            host.succeed(f"nix store add-path --name bundle-noop {noop}")
        control.succeed(f"{ap} run {noop} --wait", timeout=900)
        first = json.loads(control.succeed(f"{ap} get runs -o json"))[0]
        assert first["state"] == "succeeded", first

    with subtest("a host that is cut off is not chosen"):
        gone = {"alpha": alpha, "beta": beta}[first["executor"]]
        gone.block()
        control.succeed(f"{ap} run {noop} --wait", timeout=900)
        runs = json.loads(control.succeed(f"{ap} get runs -o json"))
        assert {run["executor"] for run in runs} == {"alpha", "beta"}, runs
        assert all(run["state"] == "succeeded" for run in runs), runs
  '';
}
