# The hosts of the NixOS VM tests: a control host and two executors, configured as docs/deploy.md says.
# Keys are made when the test is built. Everybody can read them in the store, which is what makes them test keys; they
# are copied to /var/keys at boot, since the modules refuse to read secrets from the store.
{ pkgs, agentplane, modules }:
let
  inherit (pkgs) lib;
  names = [ "alpha" "beta" ];

  keys = pkgs.runCommand "agentplane-test-keys" { } ''
    ${agentplane}/bin/agentplane keys $out --address control --operator operator ${
      lib.concatMapStringsSep " " (name: "--executor ${name}") names}
  '';

  host = name: {
    imports = [ modules ];
    networking.hostName = name;
    services.agentplane = {
      package = agentplane;
      trust = "${keys}/trust";
      tls.ca = "/etc/agentplane/trusted/ca.pem"; # what is built cannot be looked into while this is evaluated
      credentialsDirectory = "/var/keys";
    };
    system.activationScripts.testKeys = ''
      install -d -m 0700 /var/keys
      install -m 0600 -t /var/keys ${keys}/secret/${name}/* ${keys}/secret/people/*
    '';
    # guests are built where they run, from what the test's own store holds
    nix.settings = { sandbox = true; experimental-features = [ "nix-command" "flakes" ]; substituters = lib.mkForce [ ]; };
    virtualisation = { memorySize = 2048; diskSize = 8192; writableStore = true; };
  };

  executor = name: {
    imports = [ (host name) ];
    services.agentplane = { servers = [ "tls://control:4222" ]; };
    services.agentplane.executor = {
      enable = true;
      # keys of the test's making: joining is revoked.nix's story
      credentials = { "executor.key" = "/var/keys/executor.key"; "nats.nkey" = "/var/keys/executor.nkey"; };
    };
    # building a guest needs nixpkgs and what guests are made of, without a network
    nix.nixPath = [ "nixpkgs=${pkgs.path}" ];
    system.extraDependencies = with pkgs; [ pkgsStatic.busybox erofs-utils linuxPackages.kernel cpio lz4 stdenv ];
  };

  inventory = pkgs.writeText "inventory.json" (builtins.toJSON (import ./inventory.nix { inherit names; }));
in
{
  inherit executor;

  # A minute of sleep: long enough for a host to be lost under it.
  slow = pkgs.runCommand "bundle-slow" { } ''
    mkdir -p $out/bundles
    cp -r ${../../../bundles/noop} $out/bundles/slow
    chmod -R u+w $out
    sed -i 's|noop|slow|g; s|"maxRunSeconds": 60|"maxRunSeconds": 600|' $out/bundles/slow/bundle.json
    printf '#!/bin/sh\nsleep 60\n' > $out/bundles/slow/smoke.sh
    chmod 755 $out/bundles/slow/smoke.sh
  '';

  control = {
    imports = [ (host "control") ];
    services.agentplane = {
      database.enable = true;
      bus = { enable = true; listen = "0.0.0.0"; openFirewall = true; users = "${keys}/users.json"; };
      control = { enable = true; inherit inventory; settings.lease_seconds = 15; };
      projector.enable = true;
      context = { enable = true; nkeySeedFile = "/var/keys/operator.nkey"; };
    };
  };

  # What the test scripts begin with. A bundle is content-addressed: added by name, it is the path that `run` pins.
  prelude = ''
    import json

    start_all()
    executors = {"alpha": alpha, "beta": beta}
    ap = "agentplane --state-dir /etc/agentplane"


    def ready():
        control.wait_for_unit("agentplane-control.service")
        control.wait_for_unit("agentplane-projector.service")
        for name, host in executors.items():
            host.wait_for_unit("agentplane-executor.service")
            reachable(name)


    def reachable(name):
        control.wait_until_succeeds(f"{ap} get executors | grep -E '^{name} +reachable'", timeout=900)


    def offered(bundle):
        for host in executors.values():
            host.succeed(f"nix store add-path --name bundle-$(basename {bundle}) {bundle}")


    def run(name):
        return json.loads(control.succeed(f"{ap} get run {name} -o json"))


    def submitted(bundle):
        return control.succeed(f"{ap} run {bundle}").strip()


    def until(name, state):
        control.wait_until_succeeds(f"{ap} get run {name} -o json | grep '\"state\": \"{state}\"'", timeout=900)
        return run(name)

  '';

  noop = "${agentplane}/share/agentplane/bundles/noop";
}
