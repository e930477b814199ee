# services.agentplane.bus: a local nats-server with JetStream, synced at every write. Users come from `settings`.
{ config, lib, ... }:
let cfg = config.services.agentplane.bus;
in
{
  options.services.agentplane.bus = {
    enable = lib.mkEnableOption "a local nats-server for agentplane";
    settings = lib.mkOption {
      type = lib.types.attrs;
      default = { };
      example = { authorization.users = [ { nkey = "U…"; } ]; };
      description = "More settings of nats-server: listeners, TLS, users with their public nkeys and permissions.";
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [{
      assertion = cfg.settings ? authorization || cfg.settings ? accounts;
      message = "services.agentplane.bus.settings names no users: nats-server would let everybody in; set authorization or accounts";
    }];
    services.nats = {
      enable = true;
      jetstream = true;
      settings = lib.recursiveUpdate { jetstream.sync_interval = "always"; max_payload = 4 * 1024 * 1024; } cfg.settings;
    };
    systemd.services.agentplane-control = lib.mkIf config.services.agentplane.control.enable {
      after = [ "nats.service" ];
      wants = [ "nats.service" ];
    };
  };
}
