# shellcheck shell=sh
# Waits until this host's node is Ready, or for some seconds. Prints how often k3s has exited since it was started, and `ready` or what the node
# still lacks. Changes nothing.
# Arguments: kubectl, the kubelet's kubeconfig, node, its version, since when its kubelet must have reported (UTC, may be empty), seconds, unit.
end=$(($(date +%s) + $6))
ready='{.status.conditions[?(@.type=="Ready")]'
while :; do
  if found=$("$1" --kubeconfig "$2" --request-timeout=5s get node "$3" \
    -o jsonpath="{.status.nodeInfo.kubeletVersion}|$ready.status}|$ready.lastHeartbeatTime}|$ready.reason}|$ready.message}" 2>&1); then
    IFS='|' read -r version status beat reason message <<NODE
$found
NODE
    if [ "$version" != "$4" ]; then
      lacks="it reports $version still"
    elif [ -n "$5" ] && expr "$beat" '<' "$5" >/dev/null; then
      lacks='its kubelet has not reported since the start'
    elif [ "$status" != True ]; then
      lacks="not Ready, $reason: $message"
    else
      lacks=ready
      break
    fi
  else
    case $found in
      *NotFound*) lacks='it has not registered yet' ;;
      *Forbidden*) lacks="its kubelet still has another node's name" ;;
      *"$2: no such file"*) lacks='k3s has not written the kubeconfig of its kubelet yet' ;;
      *) lacks="the API server does not answer yet: $(printf '%s' "$found" | tail -n 1 | cut -c 1-200)" ;;
    esac
  fi
  [ "$(date +%s)" -lt "$end" ] || break
  sleep 1
done
systemctl show --property=NRestarts --value "$7"
printf '%s\n' "$lacks"
