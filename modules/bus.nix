# services.agentplane.bus: a local nats-server with JetStream, synced at every write, with TLS off this host.
# Who may connect is named by role; agentplane-bus (agentplane/bus/accounts.py) turns names into permissions.
{ config, lib, pkgs, ... }:
let
  inherit (lib) mkDefault mkEnableOption mkIf mkOption types;
  cfg = config.services.agentplane.bus;
  inherit (config.services.agentplane) package credentialsDirectory;
  secrets = import ./lib/secrets.nix { inherit lib; };
  format = pkgs.formats.json { };
  files = [ "bus.pem" "bus.key" ];
  loopback = builtins.match "(127\\..*|localhost|::1)" cfg.listen != null;
  tls = lib.optionalAttrs cfg.tls.enable {
    tls = {
      cert_file = "/run/credentials/nats.service/bus.pem";
      key_file = "/run/credentials/nats.service/bus.key";
      handshake_first = true; # no greeting in the clear that somebody on the way could change
    };
  };
  settings = config.services.nats.settings;
  users = if named then format.generate "agentplane-bus-users.json" cfg.users else cfg.users;
  rendered = name: content: ''
    ${package}/bin/agentplane-bus --users ${users} --settings ${format.generate "${name}.json" content} > ${name}.json
  '';
  # certificates are not there when the system is built: nats-server checks all the rest
  configuration = pkgs.runCommand "agentplane-bus.json" { nativeBuildInputs = [ pkgs.nats-server ]; } ''
    ${rendered "unencrypted" (removeAttrs settings [ "tls" ])}
    nats-server -t -c unencrypted.json
    ${rendered "nats-server" settings}
    cp nats-server.json $out
  '';
  named = builtins.isAttrs cfg.users;
  nobody = named && lib.all (it: it == null || it == { }) (lib.attrValues cfg.users);
  waits = daemon: mkIf (config.services.agentplane.${daemon}.enable or false) {
    # only what is local is waited for
    after = [ "nats.service" ];
    wants = [ "nats.service" ];
  };
  key = about: mkOption { type = types.nullOr types.str; default = null; description = about; };
in
{
  imports = [ ./lib/package.nix ./lib/fleet.nix ];

  options.services.agentplane.bus = {
    enable = mkEnableOption "a local nats-server for agentplane";
    listen = mkOption {
      type = types.str;
      default = "127.0.0.1";
      example = "0.0.0.0";
      description = "The address to listen at. Anything but this host's own wants TLS.";
    };
    port = mkOption {
      type = types.port;
      default = 4222;
      description = "The port to listen at.";
    };
    openFirewall = mkOption {
      type = types.bool;
      default = false;
      description = "Whether to let other hosts through the firewall to this port.";
    };
    tls.enable = mkOption {
      type = types.bool;
      default = !loopback;
      defaultText = lib.literalMD "whether `listen` is more than this host";
      description = "Whether every connection has to be encrypted, with the certificate in `credentials`.";
    };
    credentials = mkOption {
      type = types.attrsOf secrets.type;
      default = { };
      example = lib.genAttrs files (file: "/var/keys/${file}");
      description = ''
        With TLS: the server's certificate (`bus.pem`) and its key (`bus.key`), PEM files on the host and outside of the
        Nix store, as strings. From `services.agentplane.credentialsDirectory`, unless named. A renewed certificate is
        read when nats.service restarts.
      '';
    };
    users = mkOption {
      default = { };
      example = lib.literalExpression "./users.json";
      description = ''
        Public NATS keys by role: the `users.json` that `agentplane keys` makes, or the same as options. A role's
        permissions come with it. Checked by `agentplane-bus` when the system is built.
      '';
      type = types.either types.path (types.submodule {
        options = {
          control = key "Control's public key.";
          projector = key "The projector's public key.";
          issuer = key "The public account key whose seed control has: with it, executors may join over the bus.";
          watcher = key "Control's second public key, which ends connections; needed with `issuer`.";
          executors = mkOption {
            type = types.attrsOf types.str;
            default = { };
            description = "Public keys of executors, by name: each may speak as itself only.";
          };
          people = mkOption {
            default = { };
            description = "People and their tools: intents in, answers and facts of their own tenant out.";
            type = types.attrsOf (types.submodule {
              options = {
                nkey = mkOption { type = types.str; description = "This person's public key."; };
                tenant = mkOption { type = types.str; default = "default"; description = "The tenant."; };
                operator = mkOption { type = types.bool; default = false; description = "Whether to let them say which executors there are."; };
              };
            });
          };
        };
      });
    };
    settings = mkOption {
      type = format.type;
      default = { };
      example = { jetstream.max_file_store = 10737418240; };
      description = "More settings of nats-server, checked by itself when the system is built.";
    };
  };

  config = mkIf cfg.enable {
    assertions = lib.optionals cfg.tls.enable (secrets.assertions {
      option = "services.agentplane.bus.credentials";
      given = cfg.credentials;
      needed = files;
    }) ++ [
      {
        assertion = !nobody || cfg.settings ? authorization || cfg.settings ? accounts;
        message = ''
          services.agentplane.bus.users is empty: nats-server would let everybody in. Name who may connect,
          users = ./users.json; (`agentplane keys` makes that file).'';
      }
      {
        assertion = !named || nobody || cfg.users.issuer != null || !(config.services.agentplane.control.joining.enable or false)
          || !config.services.agentplane.control.enable;
        message = ''
          services.agentplane.bus.users.issuer is not set, and executors are to join: control would not be asked about them.
          Take issuer and watcher from the users.json of `agentplane keys`, or set services.agentplane.control.joining.enable
          = false and name each executor's key.'';
      }
      {
        assertion = cfg.tls.enable || loopback;
        message = ''
          services.agentplane.bus.listen = "${cfg.listen}" with tls.enable = false: nkeys prove who connects, they hide
          nothing. Leave tls.enable as it is, or listen at 127.0.0.1 behind a tunnel.'';
      }
    ];
    services.nats = {
      enable = true;
      jetstream = true;
      inherit (cfg) port;
      serverName = mkDefault "agentplane";
      settings = lib.mkMerge [
        { host = cfg.listen; jetstream.sync_interval = "always"; max_payload = mkDefault (4 * 1024 * 1024); }
        { http = mkDefault "127.0.0.1:8222"; } # for the doctor: whether it writes
        tls
        cfg.settings
      ];
    };
    services.agentplane = {
      bus.credentials = mkIf cfg.tls.enable
        (lib.mapAttrs (_: mkDefault) (secrets.from credentialsDirectory (lib.genAttrs files (file: file))));
      servers = mkDefault [ "${if cfg.tls.enable then "tls" else "nats"}://127.0.0.1:${toString cfg.port}" ];
    };
    networking.firewall.allowedTCPPorts = lib.optional cfg.openFirewall cfg.port;
    systemd.services = {
      nats.serviceConfig = {
        ExecStart = lib.mkForce "${pkgs.nats-server}/bin/nats-server -c ${configuration}";
        LoadCredential = lib.optionals cfg.tls.enable (lib.tail (secrets.load cfg.credentials));
        Restart = lib.mkForce "always";
      };
      agentplane-control = waits "control";
      agentplane-projector = waits "projector";
      agentplane-executor = waits "executor";
    };
  };
}
