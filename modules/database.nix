# services.agentplane.database: a local PostgreSQL for the record, durable by configuration, with one role per daemon.
{ config, lib, ... }:
let
  cfg = config.services.agentplane.database;
  inherit (config.services.agentplane) package credentialsDirectory;
  secrets = import ./lib/secrets.nix { inherit lib; };
  # owner of the schema, and what the daemons are: append (control), project and read (projector)
  needed = map (role: "${role}.pgpass") [ "owner" "append" "project" "read" ];
  waits = daemon: lib.mkIf (config.services.agentplane.${daemon}.enable or false) {
    # only what is local is waited for
    after = [ "postgresql.service" "agentplane-database.service" ];
    requires = [ "postgresql.service" ];
    wants = [ "agentplane-database.service" ];
  };
in
{
  imports = [ ./lib/package.nix ./lib/fleet.nix ];

  options.services.agentplane.database = {
    enable = lib.mkEnableOption "a local PostgreSQL for agentplane, with fsync on and password authentication by SCRAM";
    credentials = lib.mkOption {
      type = lib.types.attrsOf secrets.type;
      default = { };
      example = lib.genAttrs needed (file: "/var/keys/${file}");
      description = ''
        libpq password files (one line, `*:*:*:agentplane_ROLE:PASSWORD`, at least 16 characters), on the host and outside
        of the Nix store, as strings. agentplane-database.service makes roles, database and schema with them at every
        start: `agentplane_append` may add to the log and read it, `agentplane_project` may also write read models,
        `agentplane_read` reads those, and none may change what was recorded. From
        `services.agentplane.credentialsDirectory`, unless named.
      '';
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = secrets.assertions { option = "services.agentplane.database.credentials"; given = cfg.credentials; inherit needed; };
    services.agentplane.database.credentials = lib.mapAttrs (_: lib.mkDefault)
      (secrets.from credentialsDirectory (lib.genAttrs needed (file: file)));
    services.postgresql = {
      enable = true;
      settings = {
        fsync = true;
        full_page_writes = true;
        synchronous_commit = "on";
        password_encryption = "scram-sha-256";
      };
      # before what other services of this host add: the first line that fits decides
      authentication = lib.mkBefore ''
        local all postgres peer
        host all postgres 127.0.0.1/32 reject
        host agentplane all 127.0.0.1/32 scram-sha-256
        host agentplane all all reject
      '';
    };
    systemd.packages = [ package ];
    systemd.services = {
      agentplane-database = {
        wantedBy = [ "multi-user.target" ];
        restartTriggers = [ package ]; # an upgrade brings its migrations
        serviceConfig.LoadCredential = secrets.load cfg.credentials;
      };
      agentplane-control = waits "control";
      agentplane-projector = waits "projector";
    };
  };
}
