"""What firewall.sh does on hosts with firewalld, ufw or neither, with stand-ins for their commands that keep their rules in a file."""
from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

FUNCTIONS = Path(__file__).resolve().parents[3] / "roles" / "k3s" / "files" / "firewall.sh"
RULES = ("port:6443/tcp", "port:443/tcp", "source:10.42.0.0/16", "source:10.0.0.2")
FIREWALLD = """#!/bin/sh
# https://firewalld.org/documentation/man-pages/firewall-cmd.html
place=runtime zone=public
for word in "$@"; do
  case $word in
    --quiet) ;;
    --permanent) place=permanent ;;
    --zone=*) zone=${word#--zone=} ;;
    --get-zone-of-interface=*) exit 2 ;;
    --get-default-zone) echo public ;;
    --query-*) grep -qx "$place $zone ${word#--query-}" "$RULES" || exit 1 ;;
    --add-*) echo "$place $zone ${word#--add-}" >> "$RULES" ;;
    --remove-*) grep -vx "$place $zone ${word#--remove-}" "$RULES" > "$RULES.new"; mv "$RULES.new" "$RULES" ;;
    *) echo "unknown $word" >&2; exit 2 ;;
  esac
done
"""
UFW = """#!/bin/sh
# https://manpages.debian.org/bookworm/ufw/ufw.8.en.html
case $* in
  status) echo "Status: active" ;;
  "show added") echo "Added user rules (see 'ufw status' for running firewall):"; cat "$RULES" ;;
  "delete "*) shift; grep -vx "ufw $*" "$RULES" > "$RULES.new"; mv "$RULES.new" "$RULES" ;;
  "allow "*) echo "ufw $*" >> "$RULES" ;;
  *) exit 2 ;;
esac
"""


class Host:
    """A host with a firewall, by its PATH and its file of rules."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.rules = folder / "rules"
        self.rules.write_text("")
        scripts = {"systemctl": f"#!/bin/sh\n[ {kind} = firewalld ] && echo active || echo inactive\n", "ip": "#!/bin/sh\nexit 0\n"}
        scripts |= {"firewalld": {"firewall-cmd": FIREWALLD}, "ufw": {"ufw": UFW}}.get(kind, {})
        for name, text in scripts.items():
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)
        self.path = f"{folder}:{os.environ['PATH']}"

    def run(self, command: str, *words: str) -> str:
        text = f'{FUNCTIONS.read_text()}\n{command} "$@"'
        environment = {"PATH": self.path, "RULES": str(self.rules)}
        return subprocess.run(["sh", "-c", text, "sh", *words], env=environment, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("kind", ["firewalld", "ufw"])
def test_what_is_missing_is_opened_and_closed_again(tmp_path: Path, kind: str) -> None:
    host = Host(tmp_path, kind)
    assert host.run("firewall_kind") == kind
    host.run("firewall_change", "add", RULES[0])
    before = host.rules.read_text()
    missing = host.run("firewall_missing", *RULES).split()
    assert missing == list(RULES[1:])
    host.run("firewall_change", "add", *missing)
    assert host.run("firewall_missing", *RULES) == ""
    host.run("firewall_change", "remove", *missing)
    assert host.rules.read_text() == before


def test_firewalld_keeps_rules_for_good_and_trusts_sources_alone(tmp_path: Path) -> None:
    host = Host(tmp_path, "firewalld")
    host.run("firewall_change", "add", "port:443/tcp", "source:10.42.0.0/16")
    assert host.rules.read_text().splitlines() == [
        f"{place} {rule}" for rule in ("public port=443/tcp", "trusted source=10.42.0.0/16") for place in ("runtime", "permanent")
    ]


@pytest.mark.parametrize("rule", ["ufw allow 443", "ufw allow 443/tcp"])
def test_what_ufw_allows_in_another_form_counts(tmp_path: Path, rule: str) -> None:
    host = Host(tmp_path, "ufw")
    host.rules.write_text(f"{rule}\n")
    assert host.run("firewall_missing", "port:443/tcp", "port:6443/tcp") == "port:6443/tcp"


def test_a_host_without_a_firewall_lacks_nothing(tmp_path: Path) -> None:
    host = Host(tmp_path, "none")
    assert host.run("firewall_kind") == ""
    assert host.run("firewall_missing", *RULES) == ""
