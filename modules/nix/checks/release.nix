# A release under which the executor cannot serve is taken back by the host; the run that goes on meanwhile is not lost.
{ hosts, ... }:
{
  name = "agentplane-release";
  nodes = {
    inherit (hosts) control;
    beta = hosts.executor "beta";
    alpha = {
      imports = [ (hosts.executor "alpha") ];
      services.agentplane.release = { reverse = true; patienceSeconds = 60; };
      # --check-config cannot know that this file is not there
      specialisation.bad.configuration.services.agentplane.executor.settings.signing_key_file = "/nowhere/executor.key";
    };
  };

  testScript = hosts.prelude + ''
    slow = "${hosts.slow}/bundles/slow"
    ready()
    offered(slow)
    alpha.wait_until_succeeds("test -e /nix/var/nix/gcroots/agentplane-good-release", timeout=300)
    good = alpha.succeed("readlink -f /run/current-system").strip()
    name = submitted(f"{slow} --executor alpha")
    until(name, "running")

    with subtest("the bad release takes the executor away"):
        alpha.execute(f"{good}/specialisation/bad/bin/switch-to-configuration test")
        alpha.wait_until_fails("systemctl is-active agentplane-executor.service")

    with subtest("the host goes back by itself"):
        alpha.wait_until_succeeds(f"test $(readlink -f /run/current-system) = {good}", timeout=300)
        alpha.wait_for_unit("agentplane-executor.service")
        reachable("alpha")

    with subtest("the guest was left running and is adopted"):
        ended = until(name, "succeeded")
        assert (ended["executor"], ended["epoch"]) == ("alpha", 1), ended
  '';
}
