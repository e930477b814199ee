# services.agentplane.database: a local PostgreSQL for the record, durable by configuration.
{ config, lib, ... }:
let cfg = config.services.agentplane.database;
in
{
  options.services.agentplane.database.enable =
    lib.mkEnableOption "a local PostgreSQL for agentplane, with fsync on and password authentication by SCRAM";

  config = lib.mkIf cfg.enable {
    services.postgresql = {
      enable = true;
      settings = {
        fsync = true;
        synchronous_commit = "on";
        password_encryption = "scram-sha-256";
      };
      ensureDatabases = [ "agentplane" ];
    };
    # only what is local is waited for
    systemd.services.agentplane-control = lib.mkIf config.services.agentplane.control.enable {
      after = [ "postgresql.service" ];
      requires = [ "postgresql.service" ];
    };
    systemd.services.agentplane-projector = lib.mkIf config.services.agentplane.projector.enable {
      after = [ "postgresql.service" ];
      requires = [ "postgresql.service" ];
    };
  };
}
