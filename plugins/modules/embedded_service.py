#!/usr/bin/python
# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One process of the embedded stack, under its supervisor."""
from __future__ import annotations

DOCUMENTATION = r"""
---
module: embedded_service
short_description: Run one process of the embedded stack under its supervisor
version_added: 1.0.0
author: The mlops.mlflow maintainers (@mlops-mlflow)
description:
  - Writes the files that a process reads and its declaration to the supervisor, starts or restarts it if they have changed or it does not run, and
    waits until it answers. Fails before the first change if something else listens on its ports, and with the end of its log if it does not answer.
  - Used by the roles of this collection. The role P(mlops.mlflow.embedded#role) installs and starts the supervisor.
extends_documentation_fragment:
  - mlops.mlflow.attributes
attributes:
  diff_mode:
    description: Shows which files are written and what the supervisor is told, without the contents, which may be secret.
    support: full
options:
  home:
    description: The folder of the stack.
    type: path
    required: true
  user:
    description: The user of the stack's processes, who owns its files.
    type: str
    required: true
  name:
    description: The name of the process, of its log file and of its declaration.
    type: str
    required: true
  command:
    description: The command line.
    type: list
    elements: str
    required: true
  files:
    description: Files of mode 0600 that the process reads, as path and content. The process restarts when they change.
    type: dict
    default: {}
  folders:
    description: Folders of mode 0700 that must exist before the process starts.
    type: list
    elements: path
    default: []
  ports:
    description: The loopback ports that the process listens on. Nothing else may.
    type: list
    elements: int
    default: []
  port_option:
    description: The variable that sets the ports, for the error message if one of them is in use.
    type: str
    required: true
  sockets:
    description: Unix sockets outside the stack's folder that the process creates. They are removed when the stack is stopped.
    type: list
    elements: path
    default: []
  stop_signal:
    description: The signal that stops the process.
    type: str
    default: TERM
  stop_seconds:
    description: How long the process may take to stop, in seconds.
    type: int
    default: 30
  log_max_bytes:
    description: The size at which the log file is rotated.
    type: str
    default: 10MB
  log_backups:
    description: How many rotated log files are kept.
    type: int
    default: 5
  ready:
    description: How to tell that the process answers. Everything given must answer.
    type: dict
    default: {}
    suboptions:
      urls:
        description: URLs on loopback that must answer with status 200.
        type: list
        elements: str
        default: []
      username:
        description: The user of basic authentication for the URLs.
        type: str
        default: ""
      password:
        description: That user's password.
        type: str
        default: ""
      command:
        description: A command that must end with status 0.
        type: list
        elements: str
        default: []
      seconds:
        description: How long to wait, in seconds.
        type: int
        default: 90
"""

EXAMPLES = r"""
- name: Run PostgreSQL
  mlops.mlflow.embedded_service:
    home: /var/lib/mlops-mlflow
    user: mlflow
    name: postgresql
    command: [postgres, -c, config_file=/var/lib/mlops-mlflow/postgresql/postgresql.conf]
    files:
      /var/lib/mlops-mlflow/postgresql/postgresql.conf: "port = 25432\n"
    ports: [25432]
    port_option: postgresql_port
    ready:
      command: [pg_isready, --port=25432]
"""

RETURN = r"""
is_new:
  description: Whether the process was started, or in check mode would be, so that it could not be asked anything yet.
  returned: success
  type: bool
  sample: false
made_folders:
  description: The folders that were created.
  returned: success
  type: list
  elements: str
  sample: [/var/lib/mlops-mlflow/artifact-store/data]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.supervised_process import Process
from ansible_collections.mlops.mlflow.plugins.module_utils._embedded.process import Ready, bring_up


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "home": {"type": "path", "required": True},
            "user": {"type": "str", "required": True},
            "name": {"type": "str", "required": True},
            "command": {"type": "list", "elements": "str", "required": True},
            "files": {"type": "dict", "default": {}, "no_log": True},
            "folders": {"type": "list", "elements": "path", "default": []},
            "ports": {"type": "list", "elements": "int", "default": []},
            "port_option": {"type": "str", "required": True},
            "sockets": {"type": "list", "elements": "path", "default": []},
            "stop_signal": {"type": "str", "default": "TERM"},
            "stop_seconds": {"type": "int", "default": 30},
            "log_max_bytes": {"type": "str", "default": "10MB"},
            "log_backups": {"type": "int", "default": 5},
            "ready": {
                "type": "dict",
                "default": {},
                "options": {
                    "urls": {"type": "list", "elements": "str", "default": []},
                    "username": {"type": "str", "default": ""},
                    "password": {"type": "str", "default": "", "no_log": True},
                    "command": {"type": "list", "elements": "str", "default": []},
                    "seconds": {"type": "int", "default": 90},
                },
            },
        },
        supports_check_mode=True,
    )
    params = module.params
    fields = ("home", "name", "command", "files", "sockets", "stop_signal", "stop_seconds", "log_max_bytes", "log_backups")
    process = Process(**{name: params[name] for name in fields})
    ready = Ready(**params["ready"])
    done = bring_up(process, params["user"], params["ports"], params["port_option"], params["folders"], ready, module.check_mode)
    if done.problem:
        module.fail_json(msg=done.problem)
    diff = {"prepared": "".join(f"{step}\n" for step in done.steps)}
    module.exit_json(changed=bool(done.steps), is_new=done.is_new, made_folders=list(done.made_folders), diff=diff)


if __name__ == "__main__":
    main()
