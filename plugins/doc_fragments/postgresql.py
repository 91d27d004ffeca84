# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connection options for a PostgreSQL server."""
from __future__ import annotations


class ModuleDocFragment:
    """Fragment C(mlops.mlflow.postgresql)."""

    DOCUMENTATION = r"""
requirements:
  - psycopg2 2.8 or later, for example psycopg2-binary
  - PostgreSQL 12 or later
options:
  login_host:
    description:
      - The host name or address of the server, or, if it starts with V(/), the directory of its Unix socket.
      - If not given, E(PGHOST) is used.
    type: str
    default: localhost
  login_port:
    description:
      - The server's port.
      - If not given, E(PGPORT) is used.
    type: int
    default: 5432
  login_user:
    description:
      - The role to log in as. A superuser can do everything that the module offers.
      - If not given, E(PGUSER) is used.
    type: str
    default: postgres
  login_password:
    description:
      - The password of O(login_user). If neither this nor E(PGPASSWORD) is set, libpq reads C(~/.pgpass).
      - If not given, E(PGPASSWORD) is used.
    type: str
  login_db:
    description: The database to connect to. The module only reads from it.
    type: str
    default: postgres
  ssl_mode:
    description:
      - The TLS mode. V(prefer) uses TLS if the server offers it, without verification; only V(verify-full) verifies the server's identity.
      - If not given, E(PGSSLMODE) is used.
    type: str
    choices: [disable, allow, prefer, require, verify-ca, verify-full]
    default: prefer
  ca_cert:
    description:
      - A PEM file with the certificate authority that signed the server's certificate. Required for V(verify-ca) and V(verify-full).
      - If not given, E(PGSSLROOTCERT) is used.
    type: path
  connect_timeout:
    description: How long to wait for a connection, in seconds.
    type: int
    default: 10
"""
