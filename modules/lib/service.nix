# What the three daemons' modules share: `enable`, `package`, `settings` (RFC 42) and `credentials`.
# The unit itself is the file that the package ships; here it only gets its configuration and its credentials.
#   credentials  name -> what the file holds, for people
#   settings     what the daemon cannot guess wrong on NixOS: defaults, from the daemon's own configuration
{ name, example, credentials, defaults ? (_: { }), assertions ? (_: [ ]), serviceConfig ? (_: { }) }:
{ config, lib, pkgs, ... }:
let
  inherit (lib) attrNames concatMapStringsSep filter filterAttrs hasPrefix mapAttrs mapAttrsToList mkDefault mkEnableOption
    mkIf mkOption subtractLists types;
  cfg = config.services.agentplane.${name};
  option = "services.agentplane.${name}";
  unit = "agentplane-${name}";
  format = pkgs.formats.json { };
  known = attrNames credentials;
  named = attrNames cfg.credentials;
  raw = format.generate "agentplane-${name}.json" cfg.settings;
  # a wrong setting fails the build, in the daemon's own words
  checked = pkgs.runCommand "agentplane-${name}-checked.json" { } ''
    ${cfg.package}/bin/${unit} --config ${raw} --check-config
    cp ${raw} $out
  '';
  inStore = attrNames (filterAttrs (_: hasPrefix builtins.storeDir) cfg.credentials);
  relative = attrNames (filterAttrs (_: path: !hasPrefix "/" path) cfg.credentials);
  lacking = subtractLists named known;
  unknown = subtractLists known named;
  path = file: "${option}.credentials.\"${file}\" = \"${cfg.credentials.${file}}\"";
  claim = wrong: message: { assertion = wrong == [ ]; inherit message; };
in
{
  imports = [ ./package.nix ];

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
        daemon's own words. Every setting is described in `services/${name}/config.py`.
      '';
    };
    credentials = mkOption {
      type = types.attrsOf types.str;
      default = { };
      example = mapAttrs (file: _: "/var/keys/${file}") credentials;
      description = ''
        Files with secrets, on the host and outside of the Nix store, as strings. systemd gives them to the daemon
        (LoadCredential=); nobody else can read them.

        ${concatMapStringsSep "\n" (file: "- `${file}`: ${credentials.${file}}") known}
      '';
    };
  };

  config = mkIf cfg.enable {
    assertions = [
      (claim inStore (''
        ${concatMapStringsSep ", " path inStore}: everybody can read what is in the Nix store. Name a file outside of it
        as a string, such as "/var/keys/${lib.concatStringsSep "" (lib.take 1 inStore)}", and not as a Nix path.''))
      (claim relative (''
        ${concatMapStringsSep ", " path relative}: this is not an absolute path. Write the whole path, from "/" on.''))
      (claim lacking (''
        ${option}.credentials lacks ${toString lacking}: the daemon cannot start without. Make the files (`agentplane
        stack up` makes one of each) and name them: ${
          concatMapStringsSep " " (file: "\"${file}\" = \"/var/keys/${file}\";") lacking}''))
      (claim unknown (''
        ${option}.credentials has ${toString unknown}, which the daemon does not know. It takes ${toString known}.''))
    ] ++ assertions { inherit config lib cfg option; };
    services.agentplane.${name}.settings = lib.mapAttrsRecursive (_: mkDefault) (defaults { inherit config lib; });
    environment.etc."agentplane/${name}.json".source = checked;
    environment.systemPackages = [ cfg.package ];
    systemd.packages = [ cfg.package ];
    systemd.services.${unit} = {
      wantedBy = [ "multi-user.target" ];
      restartTriggers = [ checked ];
      # the empty one drops the unit file's own, which are where scripts/install-debian.sh puts them
      serviceConfig = {
        LoadCredential = [ "" ] ++ mapAttrsToList (file: path: "${file}:${path}") cfg.credentials;
      } // serviceConfig { inherit config lib cfg; };
    };
  };
}
