# The three virtio-serial ports. fd 4: events, fd 5: console, fd 6: result.
# A port can be opened once only, so init opens each and hands the descriptor on.

# Sets `port`. The host names ports in control messages that arrive after the driver has loaded, and no
# event can be awaited without udev: look again every 10 ms, for at most 5 s.
find_port() {
  local tries=0 node port_name
  while [ $tries -lt 500 ]; do
    for node in /sys/class/virtio-ports/*; do
      port_name=
      [ ! -r "$node/name" ] || read -r port_name <"$node/name"
      [ "$port_name" != "$1" ] || [ ! -c "/dev/${node##*/}" ] || { port=${node##*/}; return 0; }
    done
    tries=$((tries + 1))
    usleep 10000
  done
  fail "the host attached no virtio-serial port named $1"
}

open_ports() {
  find_port org.agentplane.events
  exec 4<>"/dev/$port"
  events_open=yes
  find_port org.agentplane.console
  console_port=$port
  exec 5>"/dev/$port"
  find_port org.agentplane.result
  result_port=$port
  exec 6>"/dev/$port"
}

# Closing waits until the host has taken what was queued before it.
close_ports() { exec 4>&- 5>&- 6>&-; }

emit() { printf '%s\n' "$1" >&4; }
