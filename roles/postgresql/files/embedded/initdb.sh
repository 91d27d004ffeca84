# shellcheck shell=sh
# Initialises PostgreSQL's data directory, in a temporary folder first, so that it is either complete or absent.
# Arguments: the folder, PostgreSQL's programs (a pattern), the file with the administrator's password.
set -e
rm -rf "$1/new"
mkdir -p "$1"
# shellcheck disable=SC2086
$2/initdb --pgdata="$1/new" --username=postgres --auth=scram-sha-256 --pwfile="$3" --encoding=UTF8 \
  --locale-provider=builtin --locale=C --builtin-locale=C.UTF-8 --data-checksums --no-instructions
mv "$1/new" "$1/data"
