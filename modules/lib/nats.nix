# `settings.nats` of a daemon, from what its host knows of the fleet.
{ lib, config, seed }:
let inherit (config.services.agentplane) servers tls;
in
{ inherit servers; nkey_seed_file = seed; }
// lib.optionalAttrs (tls.ca != null || tls.serverName != null) {
  tls = lib.optionalAttrs (tls.ca != null) { ca_file = tls.ca; }
    // lib.optionalAttrs (tls.serverName != null) { server_name = tls.serverName; };
}
