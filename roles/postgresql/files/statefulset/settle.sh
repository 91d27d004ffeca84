# shellcheck shell=sh
# What a run asks of the server that is up. Arguments: 'check', or 'set' to make it so, and the SHA-256 of the certificate's Secret.
# It comes with each run and is none of the pod's files, which restart it when they change.
set -eu
file=/run/secrets/postgresql/tls.crt
[ "$1" = check ] || sh /etc/postgresql/space.sh

# A kubelet brings a Secret's new value within two minutes. Those who are connected stay so.
tries=0
until [ "$(sha256sum <"$file" | cut -d ' ' -f 1)" = "$2" ] || [ "$1" = check ]; do
    tries=$((tries + 1))
    [ "$tries" -le 180 ] || { echo "The pod has not got its new certificate within 3 minutes: see its node's kubelet, or delete the pod" >&2; exit 1; }
    sleep 1
done
is_newer=$(psql --no-psqlrc --quiet --tuples-only --no-align --username=postgres --set=ON_ERROR_STOP=1 \
    --command="SELECT (pg_stat_file('$file')).modification > pg_conf_load_time()")
if [ "$is_newer" = t ] && [ "$1" = set ]; then
    psql --no-psqlrc --quiet --username=postgres --set=ON_ERROR_STOP=1 --output=/dev/null --command='SELECT pg_reload_conf()'
    echo reloaded
elif [ "$is_newer" = t ]; then
    echo differs
fi
sh /etc/postgresql/admin_password.sh "$1"
