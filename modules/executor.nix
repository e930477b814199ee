# services.agentplane.executor: runs assigned bundles on this host. Needs the bus's address and two secrets, no more.
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
        "executor.key" = "this executor's Ed25519 signing key (PEM)";
        "nats.nkey" = "the seed of this executor's NATS user";
      };
      defaults = { config, lib }: {
        name = config.networking.hostName;
        state_dir = "/var/lib/${unit}";
        nats = { servers = config.services.agentplane.executor.servers; nkey_seed_file = "${credentials}/nats.nkey"; };
        signing_key_file = "${credentials}/executor.key";
        control_public_key_file = "/etc/agentplane/control.pub";
        vm_kit = "${config.services.agentplane.executor.package}/share/agentplane/vm";
      };
      assertions = { cfg, option, ... }: [
        {
          assertion = cfg.servers != [ ] || cfg.settings ? nats && cfg.settings.nats.servers or [ ] != [ ];
          message = ''${option}.servers = [ ]: the executor would find no bus. Name it: [ "nats://control.example:4222" ].'';
        }
        {
          assertion = builtins.match "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?" (toString cfg.settings.name) != null;
          message = ''
            ${option}.settings.name = "${toString cfg.settings.name}": an executor's name is a DNS label (a-z, 0-9, "-", at
            most 63). Set it, or networking.hostName that it comes from.'';
        }
        {
          assertion = cfg.controlPublicKey != null || toString cfg.settings.control_public_key_file != "/etc/agentplane/control.pub";
          message = ''
            ${option}.controlPublicKey is not set: the executor would believe nobody's assignments. Name the control
            plane's control.pub (a public key: it may be a Nix path).'';
        }
      ];
      # With Nix's own daemon building, and guests only in QEMU, no process of ours needs to mount a /proc.
      serviceConfig = { lib, cfg, ... }:
        lib.optionalAttrs (!(builtins.elem "process" (cfg.settings.backends or [ "process" ]))) {
          ProtectKernelTunables = true;
          ProtectKernelLogs = true;
        };
    })
  ];

  options.services.agentplane.executor = {
    servers = lib.mkOption {
      type = lib.types.listOf lib.types.str;
      default = [ ];
      example = [ "nats://control.example:4222" ];
      description = "Where the bus is; the short way to `settings.nats.servers`.";
    };
    controlPublicKey = lib.mkOption {
      type = lib.types.nullOr lib.types.path;
      default = null;
      example = lib.literalExpression "./control.pub";
      description = "The control plane's public key (PEM), whose assignments this executor believes.";
    };
  };

  config = lib.mkIf config.services.agentplane.executor.enable {
    environment.etc."agentplane/control.pub" = lib.mkIf (config.services.agentplane.executor.controlPublicKey != null) {
      source = config.services.agentplane.executor.controlPublicKey;
    };
    systemd.services.${unit}.path = [ pkgs.qemu pkgs.bubblewrap pkgs.util-linux config.nix.package ];
  };
}
