# The one initrd of all slim guests: busybox, the modules a guest needs, and init. Nothing of a bundle.
{ pkgs }:
let
  modules = [ "virtio_mmio" "virtio_pci" "virtio_blk" "virtio_console" "erofs" "qemu_fw_cfg" "ext4" ];
  moduleTree = "${pkgs.linux.modules or pkgs.linux}/lib/modules";
  init = builtins.path { path = ./init; name = "guest-init"; };
in
pkgs.runCommand "guest-initrd" { nativeBuildInputs = [ pkgs.cpio ] ++ (if pkgs ? zstd then [ pkgs.zstd pkgs.xz ] else [ ]); } ''
  mkdir -p root/bin root/modules root/usr $out
  cp ${pkgs.pkgsStatic.busybox}/bin/busybox root/bin/busybox
  for applet in $(root/bin/busybox --list); do
    [ "$applet" = busybox ] || ln -s busybox root/bin/$applet
  done
  ln -s ../bin root/usr/bin
  cp -r ${init}/. root/
  chmod -R u+w root
  chmod 755 root/init root/lib/agentplane/workload root/lib/agentplane/kill-all

  # Cut a module's appended signature (struct module_signature: 12 bytes, its last 4 the length; a magic line
  # of 28). Checking it costs 0.15 s of CPU per emulated boot and proves nothing: the modules are as trusted as the
  # init beside them, both pinned by this initrd's store path.
  big_endian() { echo $(( (($1 * 256 + $2) * 256 + $3) * 256 + $4 )); }
  unsign() {
    local magic="~Module signature appended~" size length
    [ "$(tail -c 28 "$1" | tr -d '\0')" = "$magic" ] || return 0
    size=$(wc -c < "$1")
    length=$(big_endian $(tail -c 32 "$1" | od -An -t u1 -N 4))
    dd if="$1" of=unsigned.ko bs=1M iflag=count_bytes count=$((size - length - 40)) 2>/dev/null
    mv unsigned.ko "$1"
  }

  # Each module after those it depends on; what is built into the kernel has no file.
  add_module() {
    local name=$1 file needed
    [ ! -e "added-$name" ] || return 0
    : > "added-$name"
    set -- $(find ${moduleTree} -name "$name.ko*" -o -name "$(echo "$name" | tr _ -).ko*")
    [ $# -gt 0 ] || { echo "$name is built in"; return 0; }
    file=$1
    case $file in
      *.xz) xz -dc "$file" > root/modules/$name.ko ;;
      *.zst) zstd -dcq "$file" > root/modules/$name.ko ;;
      *.gz) gzip -dc "$file" > root/modules/$name.ko ;;
      *) cp "$file" root/modules/$name.ko ;;
    esac
    unsign root/modules/$name.ko
    for needed in $(strings root/modules/$name.ko | sed -n 's/^depends=//p' | tr ',-' ' _'); do
      add_module "$needed"
    done
    echo "$name" >> root/modules/order
  }
  : > root/modules/order
  for module in ${toString modules}; do add_module $module; done

  chmod -R u=rwX,go=rX root
  find root -exec touch -h -d @1 {} +
  cd root
  find . | sort | cpio -o -H newc -R 0:0 --renumber-inodes --ignore-devno > $out/initrd.cpio
''
