# shellcheck shell=sh
# Functions on the host's firewall, firewalld or ufw, for rules `port:6443/tcp`, open to everyone, and `source:10.42.0.0/16`, which may reach all.

firewall_kind() {
  if [ "$(systemctl is-active firewalld 2>/dev/null)" = active ]; then
    echo firewalld
  elif command -v ufw >/dev/null && LC_ALL=C ufw status 2>/dev/null | grep -q '^Status: active'; then
    echo ufw
  fi
}

# The zone of the interface that leads out, if firewalld has given it one.
firewall_zone() {
  firewall-cmd --get-zone-of-interface="$(ip -o route show default 2>/dev/null | sed -n 's/.* dev \([^ ]*\).*/\1/p' | head -n 1)" 2>/dev/null ||
    firewall-cmd --get-default-zone
}

# What firewall-cmd has to be told to add, query or remove a rule.
firewall_option() { # add|query|remove RULE
  case $2 in
    port:*) echo "--zone=$(firewall_zone) --$1-port=${2#port:}" ;;
    source:*) echo "--zone=trusted --$1-source=${2#source:}" ;;
  esac
}

firewall_has() { # KIND RULE
  # shellcheck disable=SC2046 # two words
  case $1:$2 in
    firewalld:*) firewall-cmd $(firewall_option query "$2") >/dev/null 2>&1 ;;
    ufw:port:*) LC_ALL=C ufw show added | grep -qxE "ufw allow (${2#port:}|$(echo "${2#port:}" | cut -d / -f 1))" ;;
    ufw:source:*) LC_ALL=C ufw show added | grep -qxF "ufw allow from ${2#source:}" ;;
  esac
}

# Those of the rules that the firewall lacks, if there is one.
firewall_missing() { # RULE...
  kind=$(firewall_kind)
  [ -n "$kind" ] || return 0
  for rule in "$@"; do
    firewall_has "$kind" "$rule" || printf '%s ' "$rule"
  done
}

# Adds or removes the rules, now and for good, without a reload, which would drop what others have added.
firewall_change() { # add|remove RULE...
  change=$1 kind=$(firewall_kind)
  shift
  for rule in "$@"; do
    # shellcheck disable=SC2046 # two words
    case $kind:$rule in
      firewalld:*) firewall-cmd --quiet $(firewall_option "$change" "$rule") && firewall-cmd --quiet --permanent $(firewall_option "$change" "$rule") ;;
      ufw:port:*) firewall_ufw "$change" allow "${rule#port:}" ;;
      ufw:source:*) firewall_ufw "$change" allow from "${rule#source:}" ;;
    esac || return 1
  done
}

firewall_ufw() { # add|remove WORD...
  case $1 in
    add) shift && ufw "$@" >/dev/null ;;
    remove) shift && ufw delete "$@" >/dev/null ;;
  esac
}
