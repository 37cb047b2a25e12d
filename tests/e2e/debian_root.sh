#!/bin/sh
# debian_root.sh ROOT [PACKAGE,...]: a Debian root as debootstrap makes it, with the packages named.
#
# It has no settings of this machine but how it reaches the package mirrors. Needs root, and debootstrap.
set -eu

if [ "$(id -u)" != 0 ] || ! command -v debootstrap >/dev/null; then
    echo "This needs root, and debootstrap:  apt-get install debootstrap" >&2
    exit 2
fi
root=$1
log=$(mktemp)
trap 'rm -f "$log"' EXIT

debootstrap --variant=minbase ${2:+--include="$2"} bookworm "$root" >"$log" 2>&1 || {
    tail "$log" >&2
    exit 1
}
cp /etc/resolv.conf "$root/etc/resolv.conf"
mkdir -p "$root/etc/ssl/certs"
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
rm "$root/etc/apt/sources.list"
for settings in /etc/pip.conf /etc/apt/sources.list /etc/apt/sources.list.d /etc/apt/apt.conf.d; do
    [ ! -e "$settings" ] || cp -r "$settings" "$root$(dirname "$settings")/"
done
