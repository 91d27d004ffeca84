#!/bin/sh
# Written by mlops.mlflow.artifact_store; changes are overwritten.
# state: what MinIO knows of MLflow's user and its policy, and what it says to the user's key, as JSON.
# set [POLICY...]: makes them as policy.json and the Secret say, and takes the other policies that are given from the user.
set -eu
name=$CLIENT_ACCESS_KEY
case $1 in
state)
    export MC_JSON=true
    # Where there is no such thing, mc says so in JSON as well, and fails.
    printf '{"policy": %s, "user": %s, "key": %s}\n' "$(mc admin policy info local "$name" || true)" "$(mc admin user info local "$name" || true)" \
        "$(mc admin user info client "$name" || true)"
    ;;
set)
    shift
    # What mc prints of a success is for no one: it holds the secret key. That is given on standard input, since arguments are for all to read.
    exec >/dev/null
    mc admin policy create local "$name" /etc/artifact-store/policy.json
    printf '%s\n%s\n' "$name" "$CLIENT_SECRET_KEY" | mc admin user add local
    said=$(mc admin policy attach local "$name" --user "$name" 2>&1) || case $said in
    *"already in effect"*) ;;
    *)
        echo "$said" >&2
        exit 1
        ;;
    esac
    for other; do
        mc admin policy detach local "$other" --user "$name"
    done
    ;;
esac
