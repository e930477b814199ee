# What every host of a fleet is told in the same way: where the bus is, what is trusted, where its secrets are.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.services.agentplane;
  secrets = import ./secrets.nix { inherit lib; };
  # what another derivation makes cannot be looked into while this is evaluated
  readable = builtins.isPath cfg.trust;
  has = file: readable && builtins.pathExists (cfg.trust + "/${file}");
  listed = directory: if has directory then lib.attrNames (builtins.readDir (cfg.trust + "/${directory}")) else [ ];
  # a public NATS key begins with U, a seed with S
  isPrivate = file: builtins.match ".*\\.(key|pgpass)" file != null
    || builtins.match ".*\\.(nkey|nk)" file != null && lib.hasPrefix "S" (builtins.readFile (cfg.trust + "/${file}"));
  private = lib.filter isPrivate
    (lib.optionals readable (lib.attrNames (builtins.readDir cfg.trust)) ++ map (name: "executors/${name}") (listed "executors"));
in
{
  options.services.agentplane = {
    servers = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "tls://control.example:4222" ];
      description = ''
        Where the bus is, for every daemon of this host and for its command line; `tls://` off this host. With
        `services.agentplane.bus` on the same host it is known.
      '';
    };
    trust = mkOption {
      type = types.nullOr types.path;
      default = null;
      example = lib.literalExpression "./trust";
      description = ''
        A directory of public keys, `trust/` as `agentplane keys` makes it: `control.pub`, and
        `cache.pub` of who signs guests, `ca.pem` where an authority of your own signed the bus's certificate. It becomes `/etc/agentplane/trusted`.
      '';
    };
    tls = {
      ca = mkOption {
        type = types.nullOr types.str;
        default = if has "ca.pem" then "/etc/agentplane/trusted/ca.pem" else null;
        defaultText = lib.literalMD "`/etc/agentplane/trusted/ca.pem` if `trust` has a `ca.pem`, else the system's authorities";
        description = "The authorities (PEM) that may sign the bus's certificate.";
      };
      serverName = mkOption {
        type = types.nullOr types.str;
        default = null;
        example = "control.example";
        description = "The name that the bus's certificate must bear, where it is not the one in the address.";
      };
    };
    caches = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "http://control.example:8090" ];
      description = ''
        Binary caches that executors take bundles' guests from, best first; what is in them is believed by `cacheKeys`
        alone, not by where it lies.
      '';
    };
    cacheKeys = mkOption {
      type = types.listOf types.str;
      default = if has "cache.pub" then [ (lib.removeSuffix "\n" (builtins.readFile (cfg.trust + "/cache.pub"))) ] else [ ];
      defaultText = lib.literalMD "what is in `cache.pub` of `trust`, if it is there";
      description = "Public keys (`name:base64`) whose signatures on guests are believed.";
    };
    credentialsDirectory = mkOption {
      type = types.nullOr secrets.type;
      default = null;
      example = "/var/keys";
      description = ''
        The directory with this host's secrets, on the host and outside of the Nix store, as a string: the files that
        `agentplane keys` makes below `secret/HOST`. Whatever a `credentials` option does not name is looked for here.
      '';
    };
  };

  config = {
    assertions = [
      {
        assertion = private == [ ];
        message = ''
          services.agentplane.trust = ${toString cfg.trust} holds ${toString private}: everybody can read what is in the Nix
          store. Only public keys belong there; move the others to the host's /var/keys, and make new ones.'';
      }
      {
        assertion = !readable || has "control.pub";
        message = ''
          services.agentplane.trust = ${toString cfg.trust} has no control.pub: nobody would be believed. Name the directory
          `trust` that `agentplane keys` made.'';
      }
    ];
    environment.etc."agentplane/trusted" = lib.mkIf (cfg.trust != null) { source = cfg.trust; };
  };
}
