# Python and its standard library: the audit itself is audit.py beside this file.
{ pkgs, ... }: {
  packages = [ pkgs.python3 ];
  environment.LANG = "C.UTF-8";
}
