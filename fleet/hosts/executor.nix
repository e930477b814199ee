# An executor host: six lines of configuration beside the common ones.
name:
{
  imports = [ ./common.nix ];
  networking.hostName = name;
  services.agentplane.executor = {
    enable = true;
    settings = import ./executor-settings.nix name;
    credentials = { "executor.key" = "/var/keys/executor.key"; "nats.nkey" = "/var/keys/nats.nkey"; };
  };
}
