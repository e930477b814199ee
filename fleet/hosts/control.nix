# The control host: the record, the bus, control and the projector.
let
  credentials = unit: "/run/credentials/agentplane-${unit}.service";
  nats = unit: { servers = [ "nats://127.0.0.1:4222" ]; nkey_seed_file = "${credentials unit}/nats.nkey"; };
  postgres = unit: role: {
    conninfo = "host=127.0.0.1 dbname=agentplane user=agentplane_${role}";
    passfile = "${credentials unit}/${role}.pgpass";
  };
in
{
  imports = [ ./common.nix ];
  networking.hostName = "control";
  services.agentplane = {
    database.enable = true;
    bus = {
      enable = true;
      settings.authorization.users = import ./nats-users.nix;
    };
    control = {
      enable = true;
      settings = {
        nats = nats "control";
        postgres = postgres "control" "append";
        signing_key_file = "${credentials "control"}/control.key";
        executor_keys_dir = "/etc/agentplane/trusted";
        inventory_file = "/etc/agentplane/inventory.json";
        tenants = [ "default" ];
      };
      credentials = {
        "control.key" = "/var/keys/control.key";
        "nats.nkey" = "/var/keys/control.nkey";
        "append.pgpass" = "/var/keys/append.pgpass";
      };
    };
    projector = {
      enable = true;
      settings = {
        nats = nats "projector";
        postgres = postgres "projector" "project";
        read_postgres = postgres "projector" "read";
      };
      credentials = {
        "nats.nkey" = "/var/keys/projector.nkey";
        "project.pgpass" = "/var/keys/project.pgpass";
        "read.pgpass" = "/var/keys/read.pgpass";
      };
    };
  };
  environment.etc."agentplane/inventory.json".source = ../inventory.json;
}
