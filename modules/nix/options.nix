# Every option of our modules, as data: for scripts/option_docs.py, which makes docs/options.md of it.
{ lib, pkgs }:
let
  inherit (lib.evalModules {
    modules = [ ../. { config._module = { check = false; args = { inherit pkgs; }; }; } ];
  }) options;
  text = value: if value == null then null else value.text or (lib.generators.toPretty { } value);
in
map
  (option: {
    inherit (option) name type;
    description = option.description.text or option.description or null;
    default = text (option.default or null);
    example = text (option.example or null);
  })
  (lib.filter (option: option.visible && !option.internal && lib.hasPrefix "services.agentplane." option.name)
    (lib.optionAttrSetToDocList options))
