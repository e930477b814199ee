# An executor host: six lines of configuration beside the common ones.
name:
{
  imports = [ ./common.nix ];
  networking.hostName = name;
  services.agentplane.executor = {
    enable = true;
    servers = [ "nats://control.example:4222" ];
    controlPublicKey = ./keys/control.pub;
    credentials = { "executor.key" = "/var/keys/executor.key"; "nats.nkey" = "/var/keys/nats.nkey"; };
  };
}
