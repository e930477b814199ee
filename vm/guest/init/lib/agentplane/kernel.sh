# Kernel file systems, modules, hardening, and the two ways out.

say() { echo "agentplane-init: $*" >/dev/console; }

leave() {
  sync
  poweroff -f
  # A machine that cannot power off still ends when QEMU has -no-reboot.
  reboot -f
}

# A guest that cannot be set up is not a workload that failed: it says so and reports no exit code.
fail() {
  say "cannot start: $*"
  [ -z "${events_open:-}" ] || printf '{"event":"failed","data":"%s"}\n' "$(printf '%s' "$*" | base64 -w 0)" >&4
  close_ports
  leave
}

mount_kernel_file_systems() {
  mkdir -p /proc /sys /dev /tmp /run /nix/store /inputs /artifacts /scratch
  mount -t proc -o nosuid,nodev,noexec proc /proc
  mount -t sysfs -o nosuid,nodev,noexec sysfs /sys
  mount -t devtmpfs -o nosuid,noexec devtmpfs /dev
  ln -sf /proc/self/fd /dev/fd
  ln -sf /proc/self/fd/0 /dev/stdin
  ln -sf /proc/self/fd/1 /dev/stdout
  ln -sf /proc/self/fd/2 /dev/stderr
  # When memory runs out the workload goes first, not what reports on it.
  echo -900 >/proc/self/oom_score_adj
}

# A microvm has no PCI bus and a q35 no virtio-mmio; each module costs 12 ms under emulation.
load_modules() {
  local module unneeded='virtio_pci*' device
  for device in /sys/bus/pci/devices/*; do [ ! -e "$device" ] || unneeded=virtio_mmio; done
  while read -r module; do
    # shellcheck disable=SC2254 # a pattern
    case $module in $unneeded) continue ;; esac
    insmod "/modules/$module.ko" || say "module $module does not load"
  done </modules/order
}

answer_probe() {
  local command_line
  read -r command_line </proc/cmdline
  case " $command_line " in
    *" agentplane.probe "*) echo agentplane-probe-ok >/dev/console; leave ;;
  esac
}

# After this no module can be loaded and no user namespace made: the kernel's surface stays small.
harden_kernel() {
  echo 1 >/proc/sys/kernel/modules_disabled
  echo 0 >/proc/sys/user/max_user_namespaces
  echo 1 >/proc/sys/kernel/dmesg_restrict
  echo guest >/proc/sys/kernel/hostname
  ip link set lo up
}
