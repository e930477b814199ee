# What the three daemons' modules share: `enable`, `package`, `settings` (RFC 42) and `credentials`.
# The unit itself is the file that the package ships; here it only gets its configuration and its credentials.
{ name, example, credentials }:
{ config, lib, pkgs, ... }:
let
  inherit (lib) mkEnableOption mkIf mkOption types mapAttrsToList hasPrefix filterAttrs attrNames;
  cfg = config.services.agentplane.${name};
  unit = "agentplane-${name}";
  format = pkgs.formats.json { };
  raw = format.generate "agentplane-${name}.json" cfg.settings;
  # a wrong setting fails the build, in the daemon's own words
  checked = pkgs.runCommand "agentplane-${name}-checked.json" { } ''
    ${cfg.package}/bin/${unit} --config ${raw} --check-config
    cp ${raw} $out
  '';
  inStore = filterAttrs (_: path: hasPrefix builtins.storeDir (toString path)) cfg.credentials;
in
{
  imports = [ ./package.nix ];

  options.services.agentplane.${name} = {
    enable = mkEnableOption "the agentplane ${name} daemon";
    package = mkOption {
      type = types.package;
      default = config.services.agentplane.package;
      defaultText = lib.literalExpression "config.services.agentplane.package";
      description = "The package whose `${unit}` runs.";
    };
    settings = mkOption {
      type = types.submodule { freeformType = format.type; };
      default = { };
      inherit example;
      description = "The daemon's configuration. It is rendered to JSON and checked by the daemon when the system is built.";
    };
    credentials = mkOption {
      type = types.attrsOf types.str;
      default = { };
      example = lib.genAttrs credentials (file: "/var/keys/${file}");
      description = ''
        Secret files by name, given to the daemon with LoadCredential=. Paths on the host, outside the Nix store.
        Known names: ${lib.concatStringsSep ", " credentials}.
      '';
    };
  };

  config = mkIf cfg.enable {
    assertions = [
      {
        assertion = inStore == { };
        message = "services.agentplane.${name}.credentials: ${toString (attrNames inStore)} would be readable by everybody "
          + "in the Nix store; name a path outside of it, such as /var/keys/…, as a string";
      }
      {
        assertion = lib.all (file: cfg.credentials ? ${file}) credentials;
        message = "services.agentplane.${name}.credentials lacks "
          + toString (lib.filter (file: !(cfg.credentials ? ${file})) credentials);
      }
    ];
    environment.etc."agentplane/${name}.json".source = checked;
    environment.systemPackages = [ cfg.package ];
    systemd.packages = [ cfg.package ];
    systemd.services.${unit} = {
      wantedBy = [ "multi-user.target" ];
      restartTriggers = [ checked ];
      serviceConfig.LoadCredential = mapAttrsToList (file: path: "${file}:${path}") cfg.credentials;
    };
  };
}
