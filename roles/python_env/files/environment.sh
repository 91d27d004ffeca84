#!/bin/sh
# Check or create a virtual environment, with the requirements on standard input.
# usage: environment.sh check|fetch|install PATH MARK PYTHON [PIP_OPTION...]
# check: whether PATH contains what MARK names and works where it is; 3 if it works, but contains something else. fetch: whether pip could install it. install: recreate it.
set -u
action=$1 path=$2 mark=$3 python=$4
shift 4

# The scripts in bin contain the path of the environment, and a Python of another version finds no packages in it.
works() {
  "$path/bin/python" -c 'import pip' 2>/dev/null
}
is_ready() {
  [ "$(cat "$mark" 2>/dev/null)" = "$path" ] && works
}
packages() {
  printf '%s\n' "$requirements" | "$path/bin/python" -m pip install --quiet --no-input --disable-pip-version-check --requirement /dev/stdin "$@"
}

[ "$action" = check ] || requirements=$(cat)

case $action in
check)
  is_ready && exit
  works && exit 3
  exit 1
  ;;
fetch)
  ! works || packages --dry-run --ignore-installed "$@"
  ;;
install)
  # An interrupted run may have sent only a part of it.
  [ "$(printf %s "$requirements" | sha1sum)" = "${mark##*-}  -" ] || { echo "ERROR: the requirements arrived incompletely" >&2; exit 1; }
  umask 022
  mkdir -p "$(dirname "$path")"
  # An interrupted run leaves pip running: it continues and holds this lock, as does another run.
  exec 9<"$(dirname "$path")"
  flock --wait 1800 9 || { echo "ERROR: another run has been installing packages into $path for half an hour" >&2; exit 1; }
  is_ready || { "$python" -m venv --clear "$path" && packages "$@" && echo "$path" >"$mark"; }
  ;;
esac
