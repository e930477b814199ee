# services.agentplane.executor
import ./lib/service.nix {
  name = "executor";
  example = { name = "exec-a"; nats.servers = [ "nats://control.example:4222" ]; };
  credentials = [ "executor.key" "nats.nkey" ];
}
