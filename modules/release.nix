# services.agentplane.release: a configuration under which our units do not serve is taken back by the host itself.
{ config, lib, pkgs, ... }:
let
  cfg = config.services.agentplane.release;
  on = name: config.services.agentplane.${name}.enable or false;
  units = map (name: "agentplane-${name}.service") (lib.filter on [ "control" "projector" "executor" ])
    ++ lib.optional (on "bus") "nats.service";
in
{
  options.services.agentplane.release = {
    reverse = lib.mkEnableOption ''
      going back by itself: after every switch the host waits until agentplane's units serve, and switches to the last
      configuration under which they did when they do not'';
    patienceSeconds = lib.mkOption {
      type = lib.types.ints.positive;
      default = 180;
      description = "How long units may take to serve under a new configuration, migrations included.";
    };
  };

  config = lib.mkIf cfg.reverse {
    assertions = [{
      assertion = units != [ ];
      message = ''
        services.agentplane.release.reverse = true, and no agentplane service is enabled on this host: there is nothing to
        judge a release by. Enable one, or leave this off.'';
    }];
    systemd.services.agentplane-release = {
      description = "agentplane release: goes back when a new configuration does not serve";
      wantedBy = [ "multi-user.target" ];
      after = units;
      restartTriggers = map (unit: config.systemd.units.${unit}.unit or unit) units;
      path = [ config.nix.package pkgs.coreutils config.systemd.package ];
      serviceConfig = {
        Type = "exec"; # a switch must not wait for what may have to switch
        ExecStart = "${pkgs.runtimeShell} ${./lib/reverse.sh} ${toString cfg.patienceSeconds} ${toString units}";
      };
    };
  };
}
