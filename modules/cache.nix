# services.agentplane.cache: a directory of signed guests, `agentplane bundle push --to file://…`, served to executors.
# Plain HTTP is enough: executors believe signatures, and pins, not the cache.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.services.agentplane.cache;
in
{
  options.services.agentplane.cache = {
    enable = lib.mkEnableOption "a binary cache for bundles' guests on this host, by static-web-server";
    directory = mkOption {
      type = types.str;
      default = "/var/lib/agentplane-cache";
      description = "Where it is; who pushes must be able to write there, as root is.";
    };
    port = mkOption {
      type = types.port;
      default = 8090;
      description = "The port to serve it at.";
    };
    openFirewall = mkOption {
      type = types.bool;
      default = false;
      description = "Whether to let other hosts through the firewall to this port.";
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [{
      assertion = lib.hasPrefix "/" cfg.directory && !lib.hasPrefix builtins.storeDir cfg.directory;
      message = ''
        services.agentplane.cache.directory = "${cfg.directory}": bundles are pushed into it while the host runs. Name a
        directory that can be written, such as "/var/lib/agentplane-cache".'';
    }];
    systemd.tmpfiles.rules = [ "d ${cfg.directory} 0755 root root -" ];
    networking.firewall.allowedTCPPorts = lib.optional cfg.openFirewall cfg.port;
    services.static-web-server = {
      enable = true;
      listen = "[::]:${toString cfg.port}";
      root = cfg.directory;
    };
  };
}
