# services.agentplane.control: decides about intents and reports, and relays facts. One host, or more for availability.
let unit = "agentplane-control";
in
{ config, lib, ... }:
let cfg = config.services.agentplane.control;
in
{
  imports = [
    (import ./lib/service.nix {
      name = "control";
      example = { tenants = [ "default" ]; lease_seconds = 30; };
      credentials = {
        "control.key" = { file = "control.key"; about = "the control plane's Ed25519 signing key (PEM)"; };
        "nats.nkey" = { file = "control.nkey"; about = "the seed of control's NATS user"; };
        "append.pgpass" = { file = "append.pgpass"; about = "libpq's password file of the role agentplane_append"; };
      };
      defaults = { config, lib }: {
        nats = import ./lib/nats.nix { inherit lib config; seed = "/run/${unit}/nats.nkey"; };
        postgres = {
          conninfo = "host=127.0.0.1 dbname=agentplane user=agentplane_append";
          passfile = "/run/${unit}/append.pgpass";
        };
        signing_key_file = "/run/credentials/${unit}.service/control.key";
        executor_keys_dir = "/etc/agentplane/trusted";
        inventory_file = "/etc/agentplane/inventory.json";
        tenants = [ "default" ];
      };
      assertions = { config, cfg, option, ... }: [
        {
          assertion = cfg.inventory != null || toString cfg.settings.inventory_file != "/etc/agentplane/inventory.json";
          message = "${option}.inventory is not set: control knows no executor. Name a FleetInventory document.";
        }
        {
          assertion = config.services.agentplane.trust != null
            || toString cfg.settings.executor_keys_dir != "/etc/agentplane/trusted";
          message = ''
            services.agentplane.trust is not set: control would believe no executor, not even itself. Name the directory of
            public keys that `agentplane keys` made: services.agentplane.trust = ./trust;'';
        }
      ];
    })
  ];

  options.services.agentplane.control.inventory = lib.mkOption {
    type = lib.types.nullOr lib.types.path;
    default = null;
    example = lib.literalExpression "./inventory.json";
    description = "The FleetInventory: which executors there may be.";
  };

  config = lib.mkIf (cfg.enable && cfg.inventory != null) {
    environment.etc."agentplane/inventory.json".source = cfg.inventory;
  };
}
