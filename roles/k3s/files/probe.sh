# shellcheck shell=sh
# Prints what the role has to know of a host, a line `name=value` each, and changes nothing. Follows firewall.sh.
# Environment: FIREWALL (rules that k3s needs), UNIT, OTHER_UNIT, BINARY, STATE (the role's folder of marks), DATA, PORTS, FOLDERS, LINKS. Arguments: the files that the role writes.
say() { printf '%s=%s\n' "$1" "$2"; }
tell() { if [ -e "$2" ]; then say "$1" yes; else say "$1" no; fi; }

say architecture "$(uname -m)"
say hostname "$(uname -n | tr '[:upper:]' '[:lower:]')"
say memory_mb "$(awk '/^MemTotal:/ {print int($2 / 1024)}' /proc/meminfo)"
say addresses "$(ip -o addr 2>/dev/null | awk '{sub("/.*", "", $4); printf "%s ", $4}')"
say ip_forward "$(cat /proc/sys/net/ipv4/ip_forward 2>/dev/null)"

if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
  controllers=$(cat /sys/fs/cgroup/cgroup.controllers)
else
  controllers=$(cd /sys/fs/cgroup 2>/dev/null && echo *)
fi
missing=
for controller in cpu cpuset memory pids; do
  case " $controllers " in *" $controller "*) ;; *) missing="$missing $controller" ;; esac
done
say cgroups_missing "${missing# }"

# Where AppArmor is on, containerd starts no container without its parser.
package=
if [ "$(cat /sys/module/apparmor/parameters/enabled 2>/dev/null)" = Y ] && ! command -v apparmor_parser >/dev/null; then
  package=apparmor
  command -v zypper >/dev/null && package=apparmor-parser
fi
say apparmor_package "$package"

say firewall "$(firewall_kind)"
# shellcheck disable=SC2086
say firewall_missing "$(firewall_missing $FIREWALL)"

tell systemd /run/systemd/system
say active "$(systemctl is-active "$UNIT" 2>/dev/null)"
say enabled "$(systemctl is-enabled "$UNIT" 2>/dev/null)"
say other_enabled "$(systemctl is-enabled "$OTHER_UNIT" 2>/dev/null)"
if [ -e "$BINARY" ]; then
  say version "$("$BINARY" --version 2>/dev/null | sed -n 's/^k3s version \([^ ]*\).*/\1/p')"
  say checksum "$(sha256sum "$BINARY" | cut -d ' ' -f 1)"
else
  say version ''
  say checksum ''
fi
tell database "$DATA/server/db"
say applied "$(cat "$STATE/.applied" 2>/dev/null)"
tell mark "$STATE/.mlops-mlflow"
# Whose k3s it is: the role's, by its mark or, from before it had one, by what it has written; nobody's; or somebody else's.
if [ -e "$STATE/.mlops-mlflow" ] || [ -e "$STATE/.applied" ] || grep -qs '^# Written by mlops.mlflow.k3s' "$STATE/config.yaml"; then
  say owner role
else
  foreign=
  for path in "$BINARY" "$STATE/config.yaml" "/etc/systemd/system/$UNIT.service" "/etc/systemd/system/$OTHER_UNIT.service" "$DATA/server/db" "$DATA/agent"; do
    [ -e "$path" ] && foreign="$foreign $path"
  done
  say owner "${foreign# }"
fi
say images "$(cat "$STATE/.images" 2>/dev/null)"
tell cordoned "$STATE/.cordoned"

for folder in $FOLDERS; do
  [ -d "$folder" ] && say "folder:$folder" yes
done
for link in $LINKS; do
  if [ -L "$link" ] || [ -e "$link" ]; then say "link:$link" "$(readlink "$link")"; fi
done
for file in "$@"; do
  [ -f "$file" ] || continue
  say "$file" "$(sha256sum "$file" | cut -d ' ' -f 1)"
  say "$file" "0$(stat -c %a "$file")"
done

# Who listens where k3s would, processes of k3s itself and of its containers left out.
[ "$(systemctl is-active "$UNIT" 2>/dev/null)" = active ] && exit 0
for port in $PORTS; do
  hex=$(printf ':%04X' "$port")
  inode=$(awk -v port="$hex" '$4 == "0A" && substr($2, length($2) - 4) == port {print $10; exit}' /proc/net/tcp /proc/net/tcp6 2>/dev/null)
  [ -n "$inode" ] || continue
  pid=$(find /proc/[0-9]*/fd -lname "socket:\\[$inode\\]" 2>/dev/null | head -n 1 | cut -d / -f 3)
  if [ -z "$pid" ]; then
    say "port:$port" 'another process'
  elif ! grep -Eq 'kubepods|k3s(-agent)?\.service' "/proc/$pid/cgroup" 2>/dev/null; then
    say "port:$port" "$(cat "/proc/$pid/comm"), process $pid"
  fi
done
exit 0
