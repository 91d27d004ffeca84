#!/bin/sh
# Written by mlops.mlflow.postgresql; changes are overwritten.
# Says whether the administrator's password is the Secret's; with the argument 'set', makes it so, by the socket, which asks for none.
set -eu
file=/run/secrets/postgresql/admin-password
try() {
    PGPASSWORD=$(cat "$file") psql --no-psqlrc --no-password --quiet --output=/dev/null --command='SELECT 1' \
        "host=127.0.0.1 port=5432 user=postgres dbname=postgres sslmode=require connect_timeout=10"
}
if error=$(try 2>&1); then
    echo same
    exit 0
fi
case $error in
*"password authentication failed"*) ;;
*)
    echo "$error" >&2
    exit 1
    ;;
esac
[ "$1" = set ] || { echo differs; exit 0; }
psql --no-psqlrc --quiet --username=postgres --set=ON_ERROR_STOP=1 <<END
\set password \`cat $file\`
-- Whatever goes wrong, the statement is not for the log.
SET log_statement = none;
SET log_min_error_statement = panic;
SET log_min_duration_statement = -1;
ALTER ROLE postgres PASSWORD :'password' VALID UNTIL 'infinity';
END
try
echo set
