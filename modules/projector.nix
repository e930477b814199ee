# services.agentplane.projector: keeps the read models and answers queries. Beside the database.
let unit = "agentplane-projector";
in
import ./lib/service.nix {
  name = "projector";
  example = { poll_seconds = 1.0; };
  credentials = {
    "nats.nkey" = { file = "projector.nkey"; about = "the seed of the projector's NATS user"; };
    "project.pgpass" = { file = "project.pgpass"; about = "libpq's password file of the role agentplane_project"; };
    "read.pgpass" = { file = "read.pgpass"; about = "libpq's password file of the role agentplane_read"; };
  };
  defaults = { config, lib }:
    let
      postgres = role: {
        conninfo = "host=127.0.0.1 dbname=agentplane user=agentplane_${role}";
        passfile = "/run/${unit}/${role}.pgpass";
      };
    in
    {
      nats = import ./lib/nats.nix { inherit lib config; seed = "/run/${unit}/nats.nkey"; };
      postgres = postgres "project";
      read_postgres = postgres "read";
    };
}
