# A host is lost under a guest: its lease expires, the run goes on elsewhere under a higher epoch, the attempt is kept.
{ hosts, ... }:
{
  name = "agentplane-reboot";
  nodes = { inherit (hosts) control; alpha = hosts.executor "alpha"; beta = hosts.executor "beta"; };

  testScript = hosts.prelude + ''
    slow = "${hosts.slow}/bundles/slow"
    ready()
    offered(slow)
    name = submitted(slow)
    first = until(name, "running")
    lost = first["executor"]

    with subtest("a host that is gone loses its lease"):
        executors[lost].crash()
        control.wait_until_succeeds(f"{ap} events list --name {name} | grep run.lease-expired", timeout=300)

    with subtest("the run ends on the other host, under a higher epoch"):
        ended = until(name, "succeeded")
        assert ended["executor"] != lost, ended
        assert ended["epoch"] > first["epoch"], ended

    with subtest("the host comes back and takes work again"):
        executors[lost].start()
        executors[lost].wait_for_unit("agentplane-executor.service")
        reachable(lost)
        again = until(submitted(f"{slow} --executor {lost}"), "succeeded")
        assert again["executor"] == lost, again

    with subtest("what became of the first attempt is evidence, marked as late"):
        control.wait_until_succeeds(f"{ap} events list --name {name} --type run.evidence -o json | grep '\"fenced\": true'")
  '';
}
