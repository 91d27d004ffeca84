#!/bin/sh
# Written by mlops.mlflow.postgresql; changes are overwritten.
set -eu
sh /etc/postgresql/space.sh || true
exec postgres -c config_file=/etc/postgresql/postgresql.conf
