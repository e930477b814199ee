# The demo of scripts/demo.sh with everything from nixpkgs.
{ pkgs, agentplane }:
pkgs.writeShellScript "agentplane-demo" ''
  export PATH=${pkgs.lib.makeBinPath [ agentplane pkgs.bash pkgs.coreutils pkgs.git pkgs.postgresql pkgs.nats-server pkgs.qemu pkgs.nix ]}:$PATH
  export AGENTPLANE_DEMO_SOURCE=${../../.}
  exec ${../../scripts/demo-run.sh} "$@"
''
