#!/usr/bin/env bash
# The testbed's Debian root in a virtual machine of its own, with control groups version 2: where limits bite.
# Sourced by scripts/testbed.sh, which makes the root; needs qemu, mkfs.ext4, cpio and busybox, and no KVM.
#   disk            $cache/root.ext4 and $cache/initrd.cpio of the root as it is
#   run_vm FILE OUTDIR  boots a throwaway copy, runs FILE with bash inside, fills OUTDIR/{stdout,journal,rc}

vm_memory_mib=${AGENTPLANE_TESTBED_VM_MIB:-3072}
vm_limit_s=${AGENTPLANE_TESTBED_VM_LIMIT_S:-900}
# in the order in which they need each other
modules=(virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_blk qemu_fw_cfg)

disk() {
  [ "$(cat "$cache/disk" 2>/dev/null)" = "$(cat "$cache/installed")" ] && return 0
  step "a disk of the root"
  rm -f "$cache/root.ext4" "$cache/disk"
  truncate -s 4G "$cache/root.ext4"
  mkfs.ext4 -q -F -O ^has_journal -E lazy_itable_init=1,root_owner=0:0 -d "$cache/debian" "$cache/root.ext4" >"$cache/mkfs.log" 2>&1 ||
    fail "mkfs.ext4 failed, see $cache/mkfs.log"
  initrd
  cp "$cache/installed" "$cache/disk"
}

initrd() {
  local tree="$cache/initrd" unpacked="$cache/unpacked" module
  rm -rf "$tree" "$unpacked"
  mkdir -p "$tree"/{bin,proc,sys,dev,root,modules}
  dpkg-deb -x "$(printf '%s\n' "$cache"/kernel/*.deb | tail -n 1)" "$unpacked"
  cp "$unpacked"/boot/vmlinuz-* "$cache/vmlinuz"
  cp "$cache/debian/bin/busybox" "$tree/bin/"
  for module in "${modules[@]}"; do
    find "$unpacked/lib/modules" -name "$module.ko" -exec cp {} "$tree/modules/" \;
  done
  cat >"$tree/init" <<'INIT'
#!/bin/busybox sh
busybox() { /bin/busybox "$@"; }
busybox mount -t proc proc /proc && busybox mount -t sysfs sys /sys && busybox mount -t devtmpfs dev /dev
for module in MODULES; do busybox insmod "/modules/$module.ko" || echo "testbed: no $module"; done
tries=0
while [ ! -b /dev/vdb ] && [ $tries -lt 100 ]; do busybox sleep 0.1; tries=$((tries + 1)); done
busybox mount -t ext4 -o rw,noatime /dev/vda /root || { echo "testbed: no root"; busybox poweroff -f; }
busybox mkdir -p /root/srv/testbed
busybox cat /sys/firmware/qemu_fw_cfg/by_name/opt/testbed/file/raw >/root/srv/testbed/file
for tree in dev proc sys; do busybox mount --move /$tree /root/$tree; done
exec /bin/busybox switch_root /root /sbin/init
INIT
  sed -i "s/MODULES/${modules[*]}/" "$tree/init"
  chmod +x "$tree/init"
  (cd "$tree" && find . | sort | cpio -o -H newc --quiet) >"$cache/initrd.cpio"
  rm -rf "$unpacked" "$tree"
}

run_vm() {
  local file=$1 out=$2 rc=0 answer
  mkdir -p "$out"
  answer=$(mktemp -p "$out" answer.XXXX)
  truncate -s 64M "$answer"
  timeout -k 5 "$vm_limit_s" qemu-system-x86_64 -M q35 -accel tcg,thread=multi -cpu max -smp 2 -m "$vm_memory_mib" \
    -nodefaults -no-user-config -nographic -serial stdio -no-reboot -kernel "$cache/vmlinuz" -initrd "$cache/initrd.cpio" \
    -append "console=ttyS0 quiet panic=-1 cryptomgr.notests random.trust_cpu=on systemd.unified_cgroup_hierarchy=1 systemd.show_status=0" \
    -fw_cfg "name=opt/testbed/file,file=$file" \
    -drive "if=none,id=root,format=raw,file=$cache/root.ext4,snapshot=on" -device virtio-blk-pci,drive=root \
    -drive "if=none,id=answer,format=raw,file=$answer" -device virtio-blk-pci,drive=answer \
    >"$out/console" 2>&1 </dev/null || rc=$?
  # nothing that a guest wrote is mounted: known names only, and their size is that of the disk at most
  (cd "$out" && tar -xf "${answer##*/}" --no-same-owner stdout journal rc 2>/dev/null) || true
  rm -f "$answer"
  [ -s "$out/rc" ] || fail "the virtual machine ended with $rc and no answer, see $out/console"
  return "$(cat "$out/rc")"
}
