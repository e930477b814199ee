# services.agentplane.executor: runs assigned bundles on this host. Makes its own keys and joins; needs what every host is told.
let
  unit = "agentplane-executor";
  credentials = "/run/credentials/${unit}.service";
in
{ config, lib, pkgs, ... }: {
  imports = [
    (import ./lib/service.nix {
      name = "executor";
      example = { limits.memory_mib = 16384; };
      credentials = {
        "join.token" = { file = "join.token"; about = "a one-time token to join with, instead of an operator's approval"; };
        "executor.key" = { file = "executor.key"; about = "an Ed25519 signing key (PEM), instead of one of its own"; };
        "nats.nkey" = { file = "executor.nkey"; about = "the seed of a NATS user, instead of one of its own"; };
      };
      needed = _: [ ];
      defaults = { config, lib }: let given = config.services.agentplane.executor.credentials; in {
        name = config.networking.hostName;
        state_dir = "/var/lib/${unit}";
        nats = import ./lib/nats.nix { inherit lib config; seed = if given ? "nats.nkey" then "/run/${unit}/nats.nkey" else null; };
        control_public_key_file = "/etc/agentplane/trusted/control.pub";
        vm_kit = "${config.services.agentplane.executor.package}/share/agentplane/vm";
        guests.socket = "/run/agentplane/guest.sock";
      } // lib.optionalAttrs (given ? "executor.key") {
        signing_key_file = "${credentials}/executor.key";
      } // lib.optionalAttrs (given ? "join.token") {
        join.token_file = "${credentials}/join.token";
      } // lib.optionalAttrs (config.services.agentplane.caches != [ ]) {
        bundles = { inherit (config.services.agentplane) caches; trusted_public_keys = config.services.agentplane.cacheKeys; };
      };
      # the unit copies a seed that it was given; with a key of its own there is none
      serviceConfig = { cfg, lib, ... }: lib.optionalAttrs (!(cfg.credentials ? "nats.nkey")) {
        ExecStartPre = [ "" "${cfg.package}/bin/${unit} --config /etc/agentplane/executor.json --check-config" ];
      };
      assertions = { config, cfg, option, ... }: [
        {
          assertion = config.services.agentplane.caches == [ ] || config.services.agentplane.cacheKeys != [ ];
          message = ''
            services.agentplane.caches = [ ${toString config.services.agentplane.caches} ] and no cacheKeys: nothing of them
            would be believed. Put cache.pub into services.agentplane.trust (`agentplane keys` makes it), or name the keys.'';
        }
        {
          assertion = builtins.match "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?" (toString cfg.settings.name) != null;
          message = ''
            ${option}.settings.name = "${toString cfg.settings.name}": an executor's name is a DNS label (a-z, 0-9, "-", at
            most 63). Set it, or networking.hostName that it comes from.'';
        }
        {
          assertion = config.services.agentplane.trust != null
            || toString cfg.settings.control_public_key_file != "/etc/agentplane/trusted/control.pub";
          message = ''
            services.agentplane.trust is not set: the executor would believe nobody's assignments. Name the directory of
            public keys that `agentplane keys` made: services.agentplane.trust = ./trust;'';
        }
      ];
    })
  ];

  config = lib.mkIf config.services.agentplane.executor.enable {
    # Guests have users of their own, made by systemd; the group is what they and the executor share (docs/adr/0010).
    users.users.${unit} = { isSystemUser = true; group = "agentplane-guest"; home = "/var/lib/${unit}"; };
    users.groups.agentplane-guest = { };
    systemd.services.${unit} = {
      path = [ pkgs.qemu pkgs.bubblewrap pkgs.util-linux config.nix.package ];
      # the unit itself wants the socket of virtual machines; namespaces are open to none but hosts of processes
      wants = lib.optional (builtins.elem "process" (config.services.agentplane.executor.settings.backends or [ "process" ]))
        "agentplane-process.socket";
    };
    # what is there before a run asks for it
    systemd.timers.agentplane-prefetch = lib.mkIf ((config.services.agentplane.executor.settings.bundles.prefetch or [ ]) != [ ]) {
      wantedBy = [ "timers.target" ];
    };
  };
}
