# An executor makes its own keys, asks to join and is approved; revoked under a guest, it is off the bus at once, and the
# run goes on elsewhere. What it sends afterwards nobody believes.
{ hosts, ... }:
let
  # no keys given: it makes its own
  joining = name: { lib, ... }: {
    imports = [ (hosts.executor name) ];
    services.agentplane.executor.credentials = lib.mkForce { };
  };
in
{
  name = "agentplane-revoked";
  nodes = { inherit (hosts) control; alpha = hosts.executor "alpha"; gamma = joining "gamma"; };

  testScript = builtins.replaceStrings [ ''"beta": beta'' ] [ ''"gamma": gamma'' ] hosts.prelude + ''
    slow = "${hosts.slow}/bundles/slow"

    with subtest("a host that nobody knows asks, and gets nothing else"):
        control.wait_for_unit("agentplane-control.service")
        control.wait_until_succeeds(f"{ap} executor requests | grep gamma", timeout=300)

    with subtest("an operator compares fingerprints and lets it in"):
        pattern = "'SHA256:[0-9a-f]+'"
        printed = gamma.succeed(f"journalctl -u agentplane-executor | grep -oE {pattern} | tail -1").strip()
        control.succeed(f"{ap} executor approve gamma --fingerprint {printed}")
        ready()

    with subtest("it runs what it is given"):
        offered(slow)
        name = submitted(f"{slow} --executor gamma")
        first = until(name, "running")
        assert first["executor"] == "gamma", first

    with subtest("revoked, it is shut out at once"):
        control.succeed(f"{ap} executor revoke gamma --reason compromised")
        gamma.wait_until_fails(f"ss -tn state established | grep :4222", timeout=60)
        control.wait_until_succeeds(f"{ap} events list --name {name} | grep run.lease-expired", timeout=120)

    with subtest("another run goes elsewhere, and says why not there"):
        again = submitted(slow)
        ended = until(again, "succeeded")
        assert ended["executor"] == "alpha", ended
        control.succeed(f"{ap} explain {again} | grep gamma")
  '';
}
