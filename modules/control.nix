# services.agentplane.control: decides about intents and reports, and relays facts. One host, or more for availability.
let
  unit = "agentplane-control";
  joining = [ "issuer.nkey" "watcher.nkey" ];
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
        "issuer.nkey" = { file = "issuer.nkey"; about = "the seed of the account key that signs for executors that join"; };
        "watcher.nkey" = { file = "watcher.nkey"; about = "the seed of control's user in the bus's system account"; };
        "append.pgpass" = { file = "append.pgpass"; about = "libpq's password file of the role agentplane_append"; };
      };
      needed = cfg: [ "control.key" "nats.nkey" "append.pgpass" ] ++ (if cfg.joining.enable then joining else [ ]);
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
      } // lib.optionalAttrs config.services.agentplane.control.joining.enable {
        joining = {
          issuer_seed_file = "/run/${unit}/issuer.nkey";
          watcher_nkey_seed_file = "/run/${unit}/watcher.nkey";
        };
      };
      serviceConfig = { config, cfg, pkgs, lib }: lib.optionalAttrs cfg.joining.enable {
        # beside the unit's own: copies of mode 0400, see there
        ExecStartPre = "${pkgs.coreutils}/bin/install -m 0400 -t /run/${unit} ${toString (map (file: "%d/${file}") joining)}";
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

  options.services.agentplane.control.joining.enable = lib.mkOption {
    type = lib.types.bool;
    default = true;
    description = ''
      Whether executors may make their own keys and join, by a one-time token or when an operator approves them. Otherwise
      their keys are in `trust` and in the bus's users, and nowhere else.
    '';
  };

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
