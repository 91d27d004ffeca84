# shellcheck shell=sh
# Removes k3s from a host, with its containers and data. Follows firewall.sh. Environment: BINARY, STATE, DATA, FILES, LINKS.
# What is left after all is printed, and the exit code is then 1.
PATH="$PATH:$DATA/data/current/bin:$DATA/data/current/bin/aux"

for unit in k3s k3s-agent; do
  systemctl disable --now "$unit" 2>/dev/null
done

# Containers, and what runs them, outlive the service. More may start while some are being ended.
rounds=10
while [ "$rounds" -gt 0 ]; do
  rounds=$((rounds - 1))
  found=$(grep -El 'kubepods|k3s(-agent)?\.service' /proc/[0-9]*/cgroup 2>/dev/null | cut -d / -f 3 | grep -vx "$$")
  [ -n "$found" ] || break
  # shellcheck disable=SC2086
  kill -KILL $found 2>/dev/null
  sleep 0.5
done

# Deepest first. A file system of the host's own that is mounted on the data folder itself stays.
awk '{print $2}' /proc/self/mounts | sort -r | while read -r mount; do
  case $mount in
    "$DATA"/* | /run/k3s/* | /run/k3s | /var/lib/kubelet | /var/lib/kubelet/* | /run/netns/cni-*)
      umount "$mount" 2>/dev/null || umount --lazy "$mount"
      ;;
  esac
done

if command -v ip >/dev/null; then
  for interface in $(ip -o link show master cni0 2>/dev/null | awk -F ': ' '{sub("@.*", "", $2); print $2}'); do
    ip link delete "$interface"
  done
  for interface in cni0 flannel.1 flannel-v6.1 flannel-wg flannel-wg-v6 kube-ipvs0; do
    [ ! -e "/sys/class/net/$interface" ] || ip link delete "$interface"
  done
fi
for tool in iptables ip6tables; do
  if command -v "$tool-save" >/dev/null && rules=$("$tool-save" 2>/dev/null) && printf '%s' "$rules" | grep -Eq 'KUBE-|CNI-|flannel|FLANNEL'; then
    printf '%s\n' "$rules" | grep -Ev 'KUBE-|CNI-|flannel|FLANNEL' | "$tool-restore"
  fi
done
# Those of the policy controller, which the rules just gone named, and k3s's own removal leaves.
if command -v ipset >/dev/null; then
  ipset list -name 2>/dev/null | grep -E '^(inet6:)?(KUBE-|kube-router-)' | while read -r set; do
    ipset destroy "$set"
  done
fi

# What the role has opened in the host's firewall.
if [ -f "$STATE/.firewall" ]; then
  # shellcheck disable=SC2046
  firewall_change remove $(cat "$STATE/.firewall")
fi

for link in $LINKS; do
  [ "$(readlink "$link")" != k3s ] && [ "$(readlink "$link")" != "$BINARY" ] || rm -f "$link"
done
rm -f "$BINARY" "$(dirname "$BINARY")"/.k3s-* "$(dirname "$BINARY")"/k3s-killall.sh "$(dirname "$BINARY")"/k3s*-uninstall.sh
# shellcheck disable=SC2086
rm -f $FILES
rm -rf "$STATE" /etc/rancher/node "$DATA" /var/lib/kubelet /var/lib/cni /run/k3s /run/flannel /run/netns/cni-* /var/log/pods /var/log/containers
rmdir /etc/rancher /var/lib/rancher 2>/dev/null
find /sys/fs/cgroup -depth -type d -path '*/kubepods*' -exec rmdir {} + 2>/dev/null
systemctl daemon-reload
systemctl reset-failed k3s k3s-agent 2>/dev/null

# shellcheck disable=SC2086
ls -d "$BINARY" "$STATE" "$DATA" $FILES /var/lib/kubelet /run/k3s /run/flannel /sys/class/net/cni0 /sys/class/net/flannel.1 2>/dev/null && exit 1
exit 0
