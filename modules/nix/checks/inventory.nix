# A FleetInventory of test executors.
{ names }:
let
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
  nodes = map node names;
in
{
  apiVersion = "agentplane.socioprophet.org/v0.1";
  kind = "FleetInventory";
  metadata = { name = "test"; version = "1"; createdAt = "2026-01-01T00:00:00Z"; };
  builders = nodes;
  executors = nodes;
  defaultBuilder = builtins.head names;
  defaultExecutor = builtins.head names;
  selectionPolicy = { preferHealthy = true; requireEnabled = true; };
}
