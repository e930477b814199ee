# An executor host: six lines of configuration beside the common ones. It makes its own keys, and joins.
name:
{
  imports = [ ./common.nix ];
  networking.hostName = name;
  services.agentplane = {
    servers = [ "tls://control.example:4222" ];
    trust = ../trust;
    caches = [ "http://control.example:8090" ];
    executor.enable = true;
  };
}
