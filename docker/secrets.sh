#!/bin/sh
# Make the secrets of compose.yaml, once: a file that exists is left as it is.
#
#   secrets.sh [FOLDER]     default: `secrets` beside this script
#
# The folder is for its owner alone. The files in it can be read by anybody who gets that far: an engine mounts each of
# them into containers whose users have other numbers than the owner.
set -eu
cd "$(dirname "$0")"
folder=${1:-secrets}
mkdir -p "$folder"
chmod 0700 "$folder"

make() {
    # make NAME TEXT: whole or not at all.
    [ -e "$folder/$1" ] || {
        printf '%s\n' "$2" >"$folder/$1.new"
        chmod 0444 "$folder/$1.new"
        mv "$folder/$1.new" "$folder/$1"
    }
}
random() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }

for name in api-token admin-password cluster-secret django-secret-key postgres-password redis-password; do
    make "$name" "$(random)"
done
make database-url "postgres://txstore:$(cat "$folder/postgres-password")@postgres:5432/txstore"
make broker-url "redis://:$(cat "$folder/redis-password")@redis:6379/0"
# A message that is lost with Redis was a check that is due again in seconds: nothing is written to disk.
make redis.conf "requirepass $(cat "$folder/redis-password")
save \"\"
appendonly no
maxmemory 256mb"
