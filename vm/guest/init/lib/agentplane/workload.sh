# The entry: its streams, its privileges, its end.

# Named pipes owned by the workload, so that it can open /dev/stdout again and write events.
# init holds the events pipe open, else its reader would end with the first writer.
start_streams() {
  mkfifo -m 600 /run/agentplane/console /run/agentplane/events
  chown 1000:1000 /run/agentplane/console /run/agentplane/events
  cat </run/agentplane/console >&5 4>&- 6>&- &
  console_reader=$!
  forward_events </run/agentplane/events 5>&- 6>&- &
  events_reader=$!
  exec 3>/run/agentplane/events
}

# Wrapped and encoded: whatever the workload writes, it cannot pose as an event of init.
forward_events() {
  local line
  while IFS= read -r line || [ -n "$line" ]; do
    printf '{"event":"workload","data":"%s"}\n' "$(printf '%s' "$line" | base64 -w 0)" >&4
  done
}

run_workload() {
  exit_code=0
  (
    export_environment
    export AGENTPLANE_ENTRY="$entry" AGENTPLANE_DIRECTORY="$directory"
    echo 500 >/proc/self/oom_score_adj
    exec /bin/su -m -s /lib/agentplane/workload agent
  ) </dev/null >/run/agentplane/console 2>&1 3>&- 4>&- 5>&- 6>&- || exit_code=$?
}

# Whatever the entry left running ends here, so that both pipes reach their end.
end_streams() {
  /bin/su -m -s /lib/agentplane/kill-all agent </dev/null >/dev/null 2>&1 3>&- 4>&- 5>&- 6>&- || :
  exec 3>&-
  wait "$console_reader" "$events_reader"
}
