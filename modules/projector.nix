# services.agentplane.projector: keeps the read models and answers queries. Beside the database.
let unit = "agentplane-projector";
in
import ./lib/service.nix {
  name = "projector";
  example = { poll_seconds = 1.0; };
  credentials = {
    "nats.nkey" = "the seed of the projector's NATS user";
    "project.pgpass" = "libpq's password file of the role agentplane_project";
    "read.pgpass" = "libpq's password file of the role agentplane_read";
  };
  defaults = { ... }:
    let
      postgres = role: {
        conninfo = "host=127.0.0.1 dbname=agentplane user=agentplane_${role}";
        passfile = "/run/${unit}/${role}.pgpass";
      };
    in
    {
      nats = { servers = [ "nats://127.0.0.1:4222" ]; nkey_seed_file = "/run/${unit}/nats.nkey"; };
      postgres = postgres "project";
      read_postgres = postgres "read";
    };
}
