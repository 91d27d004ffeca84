# shellcheck shell=sh
# Sets the administrator's password to the one in its file. In single-user mode, PostgreSQL does not ask for a password.
# Arguments: the folder, PostgreSQL's programs (a pattern), the file, supervisorctl as a quoted command; the rest precedes a command that runs as PostgreSQL's user.
# shellcheck disable=SC2116,SC2086
folder=$1 programs=$(echo $2) file=$3 supervisorctl=$4
shift 4
# Without `set -e`: the server is started again whether or not the password was set.
eval "$supervisorctl stop postgresql" >/dev/null || exit
# The statement comes from standard input, with the file's quotes doubled.
{
  printf "ALTER ROLE postgres PASSWORD '"
  head -n 1 "$file" | tr -d '\n' | sed "s/'/''/g"
  printf "' VALID UNTIL 'infinity'\n"
} | "$@" "$programs/postgres" --single -c "config_file=$folder/postgresql.conf" -c password_encryption=scram-sha-256 \
  -c log_statement=none -c log_min_error_statement=panic postgres >/dev/null
status=$?
eval "$supervisorctl start postgresql" >/dev/null && exit $status
