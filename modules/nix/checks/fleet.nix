# A bundle runs through on one of two executors; the other is chosen when that one is cut off.
{ hosts, ... }:
{
  name = "agentplane-fleet";
  nodes = { inherit (hosts) control; alpha = hosts.executor "alpha"; beta = hosts.executor "beta"; };

  testScript = hosts.prelude + ''
    with subtest("every unit serves, and nothing speaks in the clear"):
        ready()
        control.succeed("journalctl -u nats | grep -i tls")

    with subtest("a bundle runs through"):
        offered("${hosts.noop}")
        control.succeed(f"{ap} run ${hosts.noop} --wait", timeout=900)
        first = json.loads(control.succeed(f"{ap} get runs -o json"))[0]
        assert first["state"] == "succeeded", first

    with subtest("its evidence verifies with public keys alone"):
        control.succeed(f"{ap} evidence export {first['name']} --to /tmp/evidence")
        control.succeed("agentplane evidence verify /tmp/evidence --keys /etc/agentplane/trusted")

    with subtest("a host that is cut off is not chosen"):
        executors[first["executor"]].block()
        control.succeed(f"{ap} run ${hosts.noop} --wait", timeout=900)
        runs = json.loads(control.succeed(f"{ap} get runs -o json"))
        assert {each["executor"] for each in runs} == {"alpha", "beta"}, runs
        assert all(each["state"] == "succeeded" for each in runs), runs
  '';
}
