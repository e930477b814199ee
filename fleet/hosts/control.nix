# The control host: the record, the bus, control, the projector, and a command line for its operator.
{
  imports = [ ./common.nix ];
  networking.hostName = "control";
  services.agentplane = {
    trust = ../trust;
    credentialsDirectory = "/var/keys";
    database.enable = true;
    bus = {
      enable = true;
      listen = "0.0.0.0";
      openFirewall = true;
      users = ../users.json;
    };
    control = { enable = true; inventory = ../inventory.json; };
    projector.enable = true;
    cache = { enable = true; openFirewall = true; };
    backup.enable = true;
    release.reverse = true;
    context = { enable = true; nkeySeedFile = "/var/keys/operator.nkey"; };
  };
}
