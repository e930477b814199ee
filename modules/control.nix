# services.agentplane.control
import ./lib/service.nix {
  name = "control";
  example = { nats.servers = [ "nats://127.0.0.1:4222" ]; lease_seconds = 30; };
  credentials = [ "control.key" "nats.nkey" "append.pgpass" ];
}
