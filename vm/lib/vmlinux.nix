# The uncompressed kernel out of a bzImage: QEMU starts it through PVH, 0.3 s sooner under emulation.
#
# Offsets are of the x86 boot protocol (Documentation/arch/x86/boot.rst): setup_sects at 0x1f1,
# payload_offset at 0x248, payload_length at 0x24c. All but gzip carry a trailing 4-byte size.
# A compression that no tool here can undo leaves the bzImage as it is: slower, not wrong.
{ pkgs }:
pkgs.runCommand "guest-kernel"
  { nativeBuildInputs = [ pkgs.lz4 ] ++ (if pkgs ? zstd then [ pkgs.zstd pkgs.xz ] else [ ]); }
  ''
    image=${pkgs.linux}/bzImage
    field() { od -An -t "u$2" -j "$1" -N "$2" "$image" | tr -d ' \n'; }
    start=$(( ($(field 497 1) + 1) * 512 + $(field 584 4) )) length=$(field 588 4)
    slice() { dd if="$image" bs=1M iflag=skip_bytes,count_bytes skip="$start" count="$1" 2>/dev/null; }
    slice "$length" > payload
    slice $((length - 4)) > sized
    case $(od -An -t x1 -N 4 payload | tr -d ' \n') in
      02214c18) lz4 -dc sized > vmlinux ;;
      28b52ffd) zstd -dcq sized > vmlinux || : ;;
      fd377a58) xz -dc sized > vmlinux || : ;;
      1f8b*) gzip -dc payload > vmlinux ;;
      *) : > vmlinux ;;
    esac
    mkdir $out
    if [ "$(od -An -t x1 -N 4 vmlinux | tr -d ' \n')" = 7f454c46 ]; then
      cp vmlinux $out/kernel
    else
      cp "$image" $out/kernel
    fi
  ''
