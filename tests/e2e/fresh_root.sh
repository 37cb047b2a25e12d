#!/bin/sh
# A Debian root of its own, as debootstrap makes it, with make and nothing else that this project needs: what is missing
# is named, with exit 2 and nothing changed; the named lines bring it; then `make up` and `make test` work.
#
#   fresh_root.sh [TARGET...]    make targets to run at the end instead of `test`
set -eu

checkout=$(cd "$(dirname "$0")/../.." && pwd)
root=$(mktemp -d)
chmod 755 "$root"
output=$root/output

leave() {
    # Whatever broke off, the cluster of this root does not stay.
    [ ! -e "$root/srv/txstore/var/up.pid" ] || kill "$(cat "$root/srv/txstore/var/up.pid")" 2>/dev/null || true
    rm -rf --one-file-system "$root"
}
trap leave EXIT

# inside COMMAND: with the root as its whole file system, and no setting of this machine but how the mirrors are reached.
# No chroot: a process in one may make no user namespace, and so the tests no sandbox. What is mounted goes with it.
inside() {
    unshare --mount sh -euc '
        mount --bind "$0" "$0"
        mount -t proc proc "$0/proc"
        mount -t tmpfs tmpfs "$0/dev/shm"
        cd "$0"
        mkdir -p .outside
        pivot_root . .outside
        umount -l /.outside
        exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \
            PIP_CERT=/etc/ssl/certs/ca-certificates.crt sh -c "cd /srv/txstore && $1"' "$root" "$1"
}

step() { printf '\n== %s\n' "$1"; }

# refuses COMMAND WORDS: it exits with 2, says the words and has made no environment.
refuses() {
    step "$1 names: $2"
    status=0
    inside "$1" >"$output" 2>&1 || status=$?
    cat "$output"
    [ "$status" = 2 ] && grep -qF -- "$2" "$output" && [ ! -e "$root/srv/txstore/.venv" ] || {
        echo "FAILED: exit $status" >&2
        exit 1
    }
}

step "debootstrap"
sh "$checkout/tests/e2e/debian_root.sh" "$root" make,ca-certificates
mkdir -p "$root/dev/shm" "$root/srv/txstore"
tar -C "$checkout" --exclude=./.venv --exclude=./var --exclude=./.git --exclude=__pycache__ --exclude='.*_cache' -cf - . |
    tar -C "$root/srv/txstore" --no-same-owner -xf -

refuses "make up" "apt-get install python3 python3-venv"
refuses "make test" "apt-get install python3 python3-venv"
step "python3 alone"
inside "apt-get update -qq && apt-get install -y -qq --no-install-recommends python3" >/dev/null 2>&1
refuses "make up" "apt-get install python3-venv"
step "python3-venv"
inside "apt-get install -y -qq --no-install-recommends python3-venv" >/dev/null 2>&1
refuses "setpriv --reuid 65534 --regid 65534 --clear-groups make test" "sudo apt-get install --no-install-recommends"

step "make up"
inside "exec make up" >"$output" 2>&1 &
for _ in $(seq 240); do
    sleep 1
    ! grep -q "txstore is ready" "$output" || break
done
kill -INT "$(cat "$root/srv/txstore/var/up.pid")" || true
wait
# The number may soon be another process's.
rm -f "$root/srv/txstore/var/up.pid"
cat "$output"
grep -q "txstore is ready" "$output" && grep -q "txstore has ended" "$output"

for target in "${@:-test}"; do
    step "make $target"
    inside "make $target"
done
step "All of it works in a fresh Debian root."
