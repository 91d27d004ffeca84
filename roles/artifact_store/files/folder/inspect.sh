# shellcheck shell=sh
# Prints absent, empty, used or filled, and whether MLflow's user cannot write there. Changes nothing.
# Arguments: the folder, the mark of one that MLflow has used; the rest precedes a command that runs as MLflow's user.
folder=$1 mark=$2
shift 2
[ -d "$folder" ] || exec echo absent
[ -n "$(ls -A "$folder")" ] || exec echo empty
state=filled
[ ! -e "$mark" ] || state=used
"$@" test -w "$folder" || state="$state unwritable"
echo "$state"
