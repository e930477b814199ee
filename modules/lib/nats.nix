# `settings.nats` of a daemon, from what its host knows of the fleet. `seed` null: the daemon makes its own key.
{ lib, config, seed }:
let inherit (config.services.agentplane) servers tls;
in
{ inherit servers; }
// lib.optionalAttrs (seed != null) { nkey_seed_file = seed; }
// lib.optionalAttrs (tls.ca != null || tls.serverName != null) {
  tls = lib.optionalAttrs (tls.ca != null) { ca_file = tls.ca; }
    // lib.optionalAttrs (tls.serverName != null) { server_name = tls.serverName; };
}
