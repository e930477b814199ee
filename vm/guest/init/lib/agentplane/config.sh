# Per-run configuration and secrets, from fw_cfg. Lines are KEY=VALUE up to the newline, taken
# literally; the value of ENV_<NAME> is base64, since it may hold anything.

fw_cfg=/sys/firmware/qemu_fw_cfg/by_name/opt/org.agentplane

# The file is copied first: the shell reads byte by byte, and fw_cfg starts over for each byte.
read_config() {
  local line value
  config=/run/config
  mount -t tmpfs -o mode=755,nosuid,nodev,size=1m tmpfs /run
  [ -r "$fw_cfg/config/raw" ] || fail "the host passed no fw_cfg file opt/org.agentplane/config"
  (umask 077; cat "$fw_cfg/config/raw" >$config) || fail "the configuration cannot be read"
  entry= directory=/ workload_path=/bin artifact_targets= artifacts_mib= disk_mib= acknowledged=
  while IFS= read -r line || [ -n "$line" ]; do
    value=${line#*=}
    case ${line%%=*} in
      ENTRY) entry=$value ;;
      DIRECTORY) directory=$value ;;
      PATH) workload_path=$value ;;
      ARTIFACTS_TARGETS) artifact_targets=$value ;;
      ARTIFACTS_MIB) artifacts_mib=$value ;;
      DISK_MIB) disk_mib=$value ;;
      ACK) acknowledged=$value ;;
    esac
  done <$config
  [ -n "$entry" ] || fail "the configuration names no ENTRY"
}

# Runs in the workload's subshell only: init's own PATH must not come from a bundle.
export_environment() {
  local line key value path
  while IFS= read -r line || [ -n "$line" ]; do
    key=${line%%=*} value=${line#*=}
    case $key in
      ENV_PATH | ENV_AGENTPLANE_*) ;;
      ENV_[A-Za-z_]*) export "${key#ENV_}=$(printf '%s' "$value" | /bin/base64 -d)" ;;
      RUN_ID | TENANT | SEED | ATTEMPT | LANE | MEMORY_MIB | VCPU | DISK_MIB | ARTIFACTS_MIB)
        export "AGENTPLANE_$key=$value" ;;
    esac
  done <$config
  [ -z "$secret_paths" ] || for path in $secret_paths; do export "${path##*/}=$path"; done
  export AGENTPLANE_ARTIFACTS=/artifacts AGENTPLANE_INPUTS=/inputs AGENTPLANE_SCRATCH=/scratch
  export AGENTPLANE_EVENTS=/run/agentplane/events AGENTPLANE_SECRETS_DIR=/run/secrets
  export HOME=/tmp TMPDIR=/tmp PATH="$workload_path"
  unset TERM
}

# Disk serials (20 bytes) and fw_cfg names (55) are short, so either may be a number, and the
# configuration then says the name: INPUT_<number>=<name>, SECRET_<number>=<NAME>.
full_name() {
  case $2 in
    *[!0-9]*) printf '%s' "$2" ;;
    *) sed -n "s/^$1_$2=//p" $config ;;
  esac
}

install_secrets() {
  local source name
  secret_paths=
  mkdir -p /run/secrets
  mount -t tmpfs -o mode=500,uid=1000,gid=1000,nosuid,nodev,noexec,size=1m tmpfs /run/secrets
  for source in "$fw_cfg"/secrets/*; do
    [ -r "$source/raw" ] || continue
    name=$(full_name SECRET "${source##*/}")
    case $name in
      '' | [!A-Za-z_]* | *[!A-Za-z0-9_]*) fail "a secret has no usable name" ;;
    esac
    cat "$source/raw" >"/run/secrets/$name"
    chmod 400 "/run/secrets/$name"
    chown 1000:1000 "/run/secrets/$name"
    case $name in *_FILE) secret_paths="$secret_paths /run/secrets/$name" ;; esac
  done
  mount -o remount,ro /run/secrets
}
