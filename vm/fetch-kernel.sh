#!/bin/sh
# Fetch the guest kernel's Debian package.   usage: vm/fetch-kernel.sh DEST_DIR
#
# Prints two lines: the package's path and its sha256. Takes the version of kernel.lock.json; when
# the archive no longer has it, the newest cloud kernel there, checked against the archive's own
# signed index, and says so on stderr. A package that is already there and whole is not fetched again.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
[ $# -eq 1 ] || { echo "usage: vm/fetch-kernel.sh DEST_DIR" >&2; exit 2; }

refuse() { echo "fetch-kernel: $1" >&2; echo "fix: $2" >&2; exit 1; }
locked() { sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p" "$here/kernel.lock.json"; }
sha256_of() { sha256sum "$1" | cut -d ' ' -f 1; }

# The index entry of PACKAGE VERSION: its sha256, or nothing.
indexed_sha256() { apt-cache show "$1=$2" 2>/dev/null | sed -n 's/^SHA256: //p' | head -n 1; }

newest_package() {
  apt-cache depends --important linux-image-cloud-amd64 2>/dev/null |
    sed -n 's/^ *Depends: \(linux-image-.*-cloud-amd64\)$/\1/p' | head -n 1
}
candidate() { apt-cache policy "$1" | sed -n 's/^ *Candidate: //p'; }

file_of() { printf '%s/%s_%s_amd64.deb' "$dest" "$1" "$(echo "$2" | sed 's/:/%3a/')"; }

# PACKAGE VERSION SHA256: whether DEST holds that file, whole.
is_here() { [ -f "$(file_of "$1" "$2")" ] && [ "$(sha256_of "$(file_of "$1" "$2")")" = "$3" ]; }

# PACKAGE VERSION SHA256: have DEST hold that file, whole.
fetch() {
  file=$(file_of "$1" "$2")
  if ! is_here "$1" "$2" "$3"; then
    rm -f "$file"
    # Not as root into a private directory: apt would warn that its own user cannot write there.
    (cd "$dest" && apt-get -qq -o APT::Sandbox::User=root download "$1=$2" >&2) ||
      refuse "apt cannot download $1 $2" "apt-get update, then again"
    [ "$(sha256_of "$file")" = "$3" ] || refuse "$file has another sha256 than $3" "rm '$file', apt-get update, then again"
  fi
  printf '%s\n%s\n' "$file" "$3"
}

command -v apt-get >/dev/null || refuse "this is not a Debian machine" "use nixpkgs: nix-build vm without kernelDeb"
mkdir -p "$1"
dest=$(cd "$1" && pwd)
package=$(locked package) version=$(locked version) sha256=$(locked sha256)
if is_here "$package" "$version" "$sha256" || [ "$(indexed_sha256 "$package" "$version")" = "$sha256" ]; then
  fetch "$package" "$version" "$sha256"
  exit 0
fi

newest=$(newest_package)
[ -n "$newest" ] || refuse "apt knows no cloud kernel" "apt-get update, then again"
newest_version=$(candidate "$newest")
newest_sha256=$(indexed_sha256 "$newest" "$newest_version")
[ -n "$newest_sha256" ] || refuse "apt has no sha256 for $newest $newest_version" "apt-get update, then again"
echo "fetch-kernel: $package $version has left the archive; taking $newest $newest_version instead" >&2
fetch "$newest" "$newest_version" "$newest_sha256"
