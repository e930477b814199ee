# Secrets are files on the host, named by strings: what is in the Nix store, everybody can read.
# Everything here works on names alone; a Nix path is never coerced, since that would copy it into the store.
{ lib }:
let
  inherit (lib) attrNames concatMapStringsSep concatStringsSep filterAttrs hasPrefix isString mapAttrsToList optional subtractLists;
  among = predicate: credentials: attrNames (filterAttrs (_: predicate) credentials);
in
{
  # A string, or a Nix path that `assertions` refuses with the remedy instead of a mere type error.
  type = lib.mkOptionType {
    name = "secretFile";
    description = "absolute path outside of the Nix store, as a string";
    descriptionClass = "noun";
    check = value: isString value || builtins.isPath value;
    merge = lib.mergeEqualOption;
  };

  #   option    the name of the option that holds them, for messages
  #   given     file name -> path
  #   needed    file names without which nothing starts
  #   known     file names that are understood
  #   files     their usual names in /var/keys, for examples
  assertions = { option, given, needed, known ? needed, files ? { } }:
    let
      at = file: "${option}.\"${file}\" = ${toString given.${file}}";
      all = concatMapStringsSep ", " at;
      wrong = {
        literal = among builtins.isPath given;
        stored = among (path: isString path && hasPrefix builtins.storeDir path) given;
        relative = among (path: isString path && !hasPrefix "/" path) given;
        lacking = subtractLists (attrNames given) needed;
        unknown = subtractLists known (attrNames given);
      };
      example = files: "\"/var/keys/${concatStringsSep "" (lib.take 1 files)}\"";
      claim = name: message: { assertion = wrong.${name} == [ ]; inherit message; };
    in
    [
      (claim "literal" ''
        ${all wrong.literal}: this is a Nix path, and Nix copies what it names into its store, where everybody can read it.
        Write a string in quotes, such as ${example wrong.literal}, and put the file there by another way.'')
      (claim "stored" ''
        ${all wrong.stored}: everybody can read what is in the Nix store. Name a file outside of it as a string, such as
        ${example wrong.stored}, and take what is in the store for known: make a new key.'')
      (claim "relative" ''
        ${all wrong.relative}: this is not an absolute path. Write the whole path, from "/" on, such as
        ${example wrong.relative}.'')
      (claim "lacking" ''
        ${option} lacks ${toString wrong.lacking}: nothing starts without. Make the files (`agentplane keys`) and name
        their directory, services.agentplane.credentialsDirectory = "/var/keys"; or each of them:
        ${concatMapStringsSep " " (file: "\"${file}\" = \"/var/keys/${files.${file} or file}\";") wrong.lacking}'')
      (claim "unknown" ''
        ${option} has ${toString wrong.unknown}, which nobody reads. It takes ${toString known}.'')
    ];

  # systemd's LoadCredential=; the empty one drops the unit file's own, which are where scripts/install-debian.sh puts them.
  load = given: [ "" ] ++ mapAttrsToList (file: path: "${file}:${toString path}") given;

  # What a directory of the usual names makes of it: name -> file name in there.
  from = directory: files: lib.optionalAttrs (directory != null) (lib.mapAttrs (_: file: directory + "/${file}") files);
}
