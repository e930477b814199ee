# services.agentplane.backup: what only this host has, copied daily and verified while it is (docs/operations.md).
{ config, lib, pkgs, ... }:
let
  inherit (lib) mkIf mkOption types;
  cfg = config.services.agentplane.backup;
  fleet = config.services.agentplane;
  format = pkgs.formats.json { };
  on = name: fleet.${name}.enable or false;
  # where the operator's command line keeps the keys of executors that joined, if this host has one
  trusted = if fleet.context.enable or false then fleet.context.settings.trusted_keys_dir else "/etc/agentplane/trusted";
  # a control host backs up its log, an executor host its attempts and journal; one host may be both
  parts = lib.optionalAttrs (on "database") {
    control = { files = [ "/etc/agentplane/inventory.json" ]; database.database = "agentplane"; };
  } // lib.optionalAttrs (on "executor") {
    executor.executor = { inherit (fleet.executor.settings) name state_dir; };
  };
  document = part: content: lib.recursiveUpdate
    ({ directory = "/var/lib/agentplane-backup-${part}"; trusted_keys_dir = trusted; } // content)
    cfg.settings;
  checked = part: content:
    let raw = format.generate "agentplane-backup-${part}.json" (document part content);
    in
    pkgs.runCommand "agentplane-backup-${part}-checked.json" { } ''
      ${fleet.package}/bin/agentplane backup --config ${raw} --check-config
      cp ${raw} $out
    '';
in
{
  imports = [ ./lib/package.nix ];

  options.services.agentplane.backup = {
    enable = lib.mkEnableOption "a daily backup of what only this host has, below /var/lib/agentplane-backup-*";
    settings = mkOption {
      type = types.submodule { freeformType = format.type; };
      default = { };
      example = { keep = 30; };
      description = ''
        What differs from `/etc/agentplane/backup-*.json` as the host's services make it, checked by `agentplane backup
        --check-config` when the system is built. The settings are listed below, under "Settings of backups".
      '';
    };
    documents = mkOption {
      type = types.attrsOf format.type;
      internal = true;
      readOnly = true;
      default = lib.mapAttrs document parts;
      description = "What is rendered.";
    };
  };

  config = mkIf cfg.enable {
    assertions = [{
      assertion = parts != { };
      message = ''
        services.agentplane.backup.enable = true on a host with neither services.agentplane.database nor
        services.agentplane.executor: there is nothing to back up. Enable it where the log or a journal is.'';
    }];
    environment.etc = lib.mapAttrs' (part: content:
      lib.nameValuePair "agentplane/backup-${part}.json" { source = checked part content; }) parts;
    systemd = {
      packages = [ fleet.package ];
      timers = lib.mapAttrs' (part: _: lib.nameValuePair "agentplane-backup-${part}" { wantedBy = [ "timers.target" ]; }) parts;
      services = mkIf (parts ? control) { agentplane-backup-control.path = [ config.services.postgresql.package ]; };
    };
  };
}
