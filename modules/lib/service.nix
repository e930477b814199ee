# What the three daemons' modules share: `enable`, `package`, `settings` (RFC 42) and `credentials`.
# The unit itself is the file that the package ships; here it only gets its configuration and its credentials.
#   credentials  name -> { file: its name in credentialsDirectory; about: what it holds, for people }
#   needed       what of them this host cannot do without, from the service's own configuration
#   defaults     the settings that NixOS knows better than the daemon
{ name, example, credentials, needed ? (_: builtins.attrNames credentials), defaults ? (_: { }), assertions ? (_: [ ]), serviceConfig ? (_: { }) }:
{ config, lib, pkgs, ... }:
let
  inherit (lib) attrNames concatMapStringsSep mapAttrs mkDefault mkEnableOption mkIf mkOption types;
  cfg = config.services.agentplane.${name};
  option = "services.agentplane.${name}";
  unit = "agentplane-${name}";
  secrets = import ./secrets.nix { inherit lib; };
  format = pkgs.formats.json { };
  raw = format.generate "agentplane-${name}.json" cfg.settings;
  # a wrong setting fails the build, in the daemon's own words
  checked = pkgs.runCommand "agentplane-${name}-checked.json" { } ''
    ${cfg.package}/bin/${unit} --config ${raw} --check-config
    cp ${raw} $out
  '';
  files = mapAttrs (_: it: it.file) credentials;
  busless = (cfg.settings.nats.servers or [ ]) == [ ];
in
{
  imports = [ ./package.nix ./fleet.nix ];

  options.services.agentplane.${name} = {
    enable = mkEnableOption "the agentplane ${name} daemon";
    package = mkOption {
      type = types.package;
      default = config.services.agentplane.package;
      defaultText = lib.literalExpression "config.services.agentplane.package";
      description = "The package whose `${unit}` and whose unit file are used.";
    };
    settings = mkOption {
      type = types.submodule { freeformType = format.type; };
      default = { };
      inherit example;
      description = ''
        The daemon's configuration, `/etc/agentplane/${name}.json`. It is rendered to JSON once and checked by
        `${unit} --check-config` when the system is built: an unknown setting or a wrong value fails that build, in the
        daemon's own words. The settings are listed below, under "Settings of the ${name}".
      '';
    };
    credentials = mkOption {
      type = types.attrsOf secrets.type;
      default = { };
      example = mapAttrs (_: it: "/var/keys/${it.file}") credentials;
      description = ''
        Files with secrets, on the host and outside of the Nix store, as strings. systemd gives them to the daemon
        (LoadCredential=); nobody else can read them. From `services.agentplane.credentialsDirectory`, unless named:

        ${concatMapStringsSep "\n" (file: "- `${file}`: ${credentials.${file}.about}, `${credentials.${file}.file}`") (attrNames credentials)}
      '';
    };
  };

  config = mkIf cfg.enable {
    assertions = secrets.assertions
      {
        option = "${option}.credentials";
        given = cfg.credentials;
        needed = needed cfg;
        known = attrNames credentials;
        inherit files;
      }
    ++ [{
      assertion = !busless;
      message = ''
        services.agentplane.servers = [ ]: the ${name} would find no bus. Name it, [ "tls://control.example:4222" ], or
        enable one here with services.agentplane.bus.'';
    }]
      ++ assertions { inherit config lib cfg option; };
    services.agentplane.${name} = {
      settings = lib.mapAttrsRecursive (_: mkDefault) (defaults { inherit config lib; });
      credentials = mapAttrs (_: mkDefault)
        (secrets.from config.services.agentplane.credentialsDirectory (lib.getAttrs (needed cfg) files));
    };
    environment.etc."agentplane/${name}.json".source = checked;
    environment.systemPackages = [ cfg.package ];
    systemd.packages = [ cfg.package ];
    systemd.services.${unit} = {
      wantedBy = [ "multi-user.target" ];
      restartTriggers = [ checked ];
      serviceConfig = { LoadCredential = secrets.load cfg.credentials; } // serviceConfig { inherit config lib cfg pkgs; };
    };
  };
}
