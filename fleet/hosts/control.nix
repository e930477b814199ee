# The control host: the record, the bus, control and the projector.
{
  imports = [ ./common.nix ];
  networking.hostName = "control";
  services.agentplane = {
    database = {
      enable = true;
      credentials = {
        "owner.pgpass" = "/var/keys/owner.pgpass";
        "append.pgpass" = "/var/keys/append.pgpass";
        "project.pgpass" = "/var/keys/project.pgpass";
        "read.pgpass" = "/var/keys/read.pgpass";
      };
    };
    bus = {
      enable = true;
      settings.authorization.users = import ./nats-users.nix;
    };
    control = {
      enable = true;
      inventory = ../inventory.json;
      publicKeys = { control = ./keys/control.pub; exec-a = ./keys/exec-a.pub; exec-b = ./keys/exec-b.pub; };
      credentials = {
        "control.key" = "/var/keys/control.key";
        "nats.nkey" = "/var/keys/control.nkey";
        "append.pgpass" = "/var/keys/append.pgpass";
      };
    };
    projector = {
      enable = true;
      credentials = {
        "nats.nkey" = "/var/keys/projector.nkey";
        "project.pgpass" = "/var/keys/project.pgpass";
        "read.pgpass" = "/var/keys/read.pgpass";
      };
    };
  };
}
