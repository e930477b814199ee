# services.agentplane.context: how this host's command line reaches the control plane, /etc/agentplane/context.json.
{ config, lib, pkgs, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.services.agentplane.context;
  fleet = config.services.agentplane;
  secrets = import ./lib/secrets.nix { inherit lib; };
  format = pkgs.formats.json { };
  raw = format.generate "agentplane-context.json" cfg.settings;
  checked = pkgs.runCommand "agentplane-context-checked.json" { } ''
    cp ${raw} context.json
    ${fleet.package}/bin/agentplane --state-dir . context
    cp ${raw} $out
  '';
  # `agentplane executor approve` adds the keys of executors that joined
  trusted = "/var/lib/agentplane/trusted";
  given = lib.optionalAttrs (cfg.nkeySeedFile != null) { inherit (cfg) nkeySeedFile; };
in
{
  imports = [ ./lib/package.nix ./lib/fleet.nix ];

  options.services.agentplane.context = {
    enable = lib.mkEnableOption "the agentplane command line, for whoever may read `nkeySeedFile`";
    settings = mkOption {
      type = types.submodule { freeformType = format.type; };
      default = { };
      example = { tenant = "acme"; };
      description = ''
        `/etc/agentplane/context.json`, checked by `agentplane context` when the system is built. The settings are listed
        below, under "Settings of the command line".
      '';
    };
    nkeySeedFile = mkOption {
      type = types.nullOr secrets.type;
      default = null;
      example = "/var/keys/alice.nkey";
      description = "The seed of a person's NATS user, mode 0600 and theirs, outside of the Nix store, as a string.";
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = secrets.assertions { option = "services.agentplane.context"; inherit given; needed = [ "nkeySeedFile" ]; } ++ [{
      assertion = fleet.trust != null;
      message = ''
        services.agentplane.trust is not set: no evidence could be verified. Name the directory of public keys that
        `agentplane keys` made: services.agentplane.trust = ./trust;'';
    }];
    environment = {
      systemPackages = [ fleet.package ];
      pathsToLink = [ "/share/agentplane" ]; # bundles to begin with
      variables.AGENTPLANE_STATE_DIR = "/etc/agentplane";
      etc."agentplane/context.json".source = checked;
    };
    systemd.tmpfiles.rules = [
      "d /var/lib/agentplane 0755 root root -"
      "d ${trusted} 0755 root root -"
      "d ${trusted}/executors 0755 root root -"
      "L+ ${trusted}/control.pub - - - - /etc/agentplane/trusted/control.pub"
    ];
    services.agentplane.context.settings = lib.mapAttrsRecursive (_: lib.mkDefault) ({
      tenant = "default";
      trusted_keys_dir = trusted;
    } // import ./lib/nats.nix { inherit lib config; seed = toString cfg.nkeySeedFile; });
  };
}
