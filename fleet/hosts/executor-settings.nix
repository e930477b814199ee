# The settings of an executor of the sample fleet. Keys are credentials, so their paths are systemd's.
name:
let credentials = "/run/credentials/agentplane-executor.service";
in {
  inherit name;
  state_dir = "/var/lib/agentplane-executor";
  nats = { servers = [ "nats://control.example:4222" ]; nkey_seed_file = "${credentials}/nats.nkey"; };
  signing_key_file = "${credentials}/executor.key";
  control_public_key_file = "/etc/agentplane/control.pub";
  vm_kit = "/run/current-system/sw/share/agentplane/vm";
}
