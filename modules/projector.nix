# services.agentplane.projector
import ./lib/service.nix {
  name = "projector";
  example = { nats.servers = [ "nats://127.0.0.1:4222" ]; };
  credentials = [ "nats.nkey" "project.pgpass" "read.pgpass" ];
}
