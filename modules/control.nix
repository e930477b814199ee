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
        "control.key" = "the control plane's Ed25519 signing key (PEM)";
        "nats.nkey" = "the seed of control's NATS user";
        "append.pgpass" = "libpq's password file of the role agentplane_append";
      };
      defaults = { ... }: {
        nats = { servers = [ "nats://127.0.0.1:4222" ]; nkey_seed_file = "/run/${unit}/nats.nkey"; };
        postgres = {
          conninfo = "host=127.0.0.1 dbname=agentplane user=agentplane_append";
          passfile = "/run/${unit}/append.pgpass";
        };
        signing_key_file = "/run/credentials/${unit}.service/control.key";
        executor_keys_dir = "/etc/agentplane/trusted";
        inventory_file = "/etc/agentplane/inventory.json";
        tenants = [ "default" ];
      };
      assertions = { cfg, option, ... }: [
        {
          assertion = cfg.inventory != null || toString cfg.settings.inventory_file != "/etc/agentplane/inventory.json";
          message = "${option}.inventory is not set: control knows no executor. Name a FleetInventory document.";
        }
        {
          assertion = cfg.publicKeys ? control || toString cfg.settings.executor_keys_dir != "/etc/agentplane/trusted";
          message = ''
            ${option}.publicKeys has no "control": the public half of credentials."control.key" must be among the keys that
            are trusted, and one key per executor beside it: publicKeys = { control = ./control.pub; exec-a = ./exec-a.pub; }.'';
        }
      ];
    })
  ];

  options.services.agentplane.control = {
    inventory = lib.mkOption {
      type = lib.types.nullOr lib.types.path;
      default = null;
      example = lib.literalExpression "./inventory.json";
      description = "The FleetInventory: which executors there may be.";
    };
    publicKeys = lib.mkOption {
      type = lib.types.attrsOf lib.types.path;
      default = { };
      example = lib.literalExpression "{ control = ./control.pub; exec-a = ./exec-a.pub; }";
      description = "Ed25519 public keys (PEM) that are trusted: control's own, and each executor's by its name.";
    };
  };

  config = lib.mkIf cfg.enable {
    environment.etc = lib.mapAttrs'
      (name: key: lib.nameValuePair
        "agentplane/trusted/${if name == "control" then "control.pub" else "executors/${name}.pub"}"
        { source = key; })
      cfg.publicKeys // lib.optionalAttrs (cfg.inventory != null) { "agentplane/inventory.json".source = cfg.inventory; };
  };
}
