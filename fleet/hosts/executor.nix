# An executor host: six lines of configuration beside the common ones, and where guests come from.
name:
{
  imports = [ ./common.nix ];
  networking.hostName = name;
  services.agentplane = {
    servers = [ "tls://control.example:4222" ];
    trust = ../trust;
    credentialsDirectory = "/var/keys";
    executor.enable = true;
    caches = [ "http://control.example:8090" ];
  };
}
