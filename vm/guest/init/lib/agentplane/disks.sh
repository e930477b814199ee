# Directories of the workload and the disks that the host attached, known by their virtio serial.

# Bounded shares of memory: together they cannot take all of it.
prepare_directories() {
  local memory_kib target
  read -r _ memory_kib _ </proc/meminfo
  share=$((memory_kib / 1024 / 4))
  [ -n "$artifacts_mib" ] && [ "$artifacts_mib" -lt $share ] || artifacts_mib=$share
  private_tmpfs /artifacts "$artifacts_mib"
  private_tmpfs /tmp $((share / 2 + 1))
  mkdir -p /dev/shm /run/agentplane
  private_tmpfs /dev/shm $((share / 2 + 1))
  IFS=:
  for target in $artifact_targets; do
    case $target in
      / | *..* | /nix* | /proc* | /sys* | /dev* | /run* | /bin* | /lib*) fail "artifacts cannot lead to $target" ;;
      /*) mkdir -p "$target" && mount --bind /artifacts "$target" || fail "artifacts cannot lead to $target" ;;
      *) fail "artifact target $target is not absolute" ;;
    esac
  done
  unset IFS
}

private_tmpfs() {
  mount -t tmpfs -o "mode=700,uid=1000,gid=1000,nosuid,nodev,size=${2}m,nr_inodes=65536" tmpfs "$1"
}

mount_disks() {
  local node serial device payload=
  scratch=
  for node in /sys/block/vd*; do
    serial=
    [ ! -r "$node/serial" ] || read -r serial <"$node/serial" || [ -n "$serial" ] || continue
    device=/dev/${node##*/}
    case $serial in
      payload) mount -t erofs -o ro,nosuid,nodev "$device" /nix/store && payload=$device ;;
      in-[a-z0-9]*) mount_input "$device" "$(full_name INPUT "${serial#in-}")" ;;
      scratch) scratch=$device ;;
    esac
  done
  [ -n "$payload" ] || fail "the host attached no readable disk with serial payload"
  mount_scratch
}

mount_input() {
  case $2 in '' | *[!a-z0-9-]*) fail "an input has no usable name" ;; esac
  mkdir -p "/inputs/$2"
  mount -t erofs -o ro,nosuid,nodev,noexec "$1" "/inputs/$2" || fail "input $2 is not a readable image"
}

# Few inodes, so that making the file system stays short even on a large disk. ext4 reads ext2.
mount_scratch() {
  if [ -n "$scratch" ]; then
    mke2fs -F -m 0 -i 262144 "$scratch" >/dev/null 2>&1 &&
      mount -t ext4 -o nosuid,nodev,noatime "$scratch" /scratch &&
      chown 1000:1000 /scratch && chmod 700 /scratch && return 0
    fail "the scratch disk cannot be used"
  fi
  [ -n "$disk_mib" ] && [ "$disk_mib" -lt $share ] || disk_mib=$share
  private_tmpfs /scratch "$disk_mib"
}
