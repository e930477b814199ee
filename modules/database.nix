# services.agentplane.database: a local PostgreSQL for the record, durable by configuration, with one role per daemon.
{ config, lib, pkgs, ... }:
let
  cfg = config.services.agentplane.database;
  package = config.services.agentplane.package;
  known = map (role: "${role}.pgpass") [ "owner" "append" "project" "read" ];
  lacking = lib.subtractLists (lib.attrNames cfg.credentials) known;
  inStore = lib.attrNames (lib.filterAttrs (_: lib.hasPrefix builtins.storeDir) cfg.credentials);
  waits = daemon: lib.mkIf config.services.agentplane.${daemon}.enable {
    # only what is local is waited for
    after = [ "postgresql.service" "agentplane-database.service" ];
    requires = [ "postgresql.service" ];
    wants = [ "agentplane-database.service" ];
  };
in
{
  imports = [ ./lib/package.nix ];

  options.services.agentplane.database = {
    enable = lib.mkEnableOption "a local PostgreSQL for agentplane, with fsync on and password authentication by SCRAM";
    credentials = lib.mkOption {
      type = lib.types.attrsOf lib.types.str;
      default = { };
      example = lib.genAttrs known (file: "/var/keys/${file}");
      description = ''
        libpq password files (one line, `*:*:*:agentplane_ROLE:PASSWORD`, at least 16 characters), on the host and outside
        of the Nix store. agentplane-database.service makes roles, database and schema with them at every start.
      '';
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = lacking == [ ];
        message = ''
          services.agentplane.database.credentials lacks ${toString lacking}: without a password a role cannot be made.
          Make the files and name them: ${lib.concatMapStringsSep " " (file: "\"${file}\" = \"/var/keys/${file}\";") lacking}'';
      }
      {
        assertion = inStore == [ ];
        message = ''
          services.agentplane.database.credentials: ${toString inStore}: everybody can read what is in the Nix store. Name
          a file outside of it as a string, such as "/var/keys/append.pgpass", and not as a Nix path.'';
      }
    ];
    services.postgresql = {
      enable = true;
      settings = {
        fsync = true;
        full_page_writes = true;
        synchronous_commit = "on";
        password_encryption = "scram-sha-256";
      };
      authentication = lib.mkForce ''
        local all postgres peer
        host all postgres 127.0.0.1/32 reject
        host agentplane all 127.0.0.1/32 scram-sha-256
      '';
    };
    systemd.packages = [ package ];
    systemd.services = {
      agentplane-database = {
        wantedBy = [ "multi-user.target" ];
        restartTriggers = [ package ]; # an upgrade brings its migrations
        serviceConfig.LoadCredential = [ "" ] ++ lib.mapAttrsToList (file: path: "${file}:${path}") cfg.credentials;
      };
      agentplane-control = waits "control";
      agentplane-projector = waits "projector";
    };
  };
}
