#!/bin/sh
# Written by mlops.mlflow.postgresql; changes are overwritten.
# Fails where the volume is as good as full: PostgreSQL then reads, and soon writes no more.
set -eu
free=$(df -Pk "$PGDATA" | awk 'NR == 2 {print $4}')
if [ "$free" -lt 20480 ]; then
    echo "The volume is full, $free KiB are left: enlarge it with postgresql_volume_size, or free space on its disk" >&2
    exit 1
fi
