#!/bin/sh
# Written by mlops.mlflow.postgresql; changes are overwritten.
# Makes the database cluster, into a folder of its own first, so that it is there whole or not at all. Of initdb only what goes wrong is said.
set -eu
volume=$(dirname "$PGDATA")
fail() { echo "$1" >&2; exit 1; }
if [ -s "$PGDATA/PG_VERSION" ]; then
    data=$(cat "$PGDATA/PG_VERSION")
    image=$(postgres --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')
    [ "$data" = "$image" ] ||
        fail "The volume holds data of PostgreSQL $data, and postgresql_image is PostgreSQL $image: take an image of $data, or move the data with pg_dumpall first"
    exit 0
fi
[ -w "$volume" ] || fail "User $(id -u) may not write to the volume: take a storage class that heeds fsGroup, or give the volume to that user"
rm -rf "$PGDATA.new"
initdb --pgdata="$PGDATA.new" --username=postgres --pwfile=/run/secrets/postgresql/admin-password --auth=scram-sha-256 --encoding=UTF8 \
    --locale-provider=builtin --locale=C --builtin-locale=C.UTF-8 --data-checksums --set=huge_pages=off --no-instructions >/dev/null
mv "$PGDATA.new" "$PGDATA"
sync
