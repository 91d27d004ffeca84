# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connection options for an MLflow tracking server."""
from __future__ import annotations


class ModuleDocFragment:
    """Fragment C(mlops.mlflow.tracking)."""

    DOCUMENTATION = r"""
options:
  tracking_uri:
    description:
      - The URL of the MLflow tracking server, including its path prefix, if any.
      - Proxies are taken from E(HTTP_PROXY), E(HTTPS_PROXY) and E(NO_PROXY).
      - If not given, E(MLFLOW_TRACKING_URI) is used.
    type: str
    required: true
  tracking_username:
    description:
      - The user name, if the server uses basic authentication. An empty string counts as not set, here and in the other options that can
        come from the environment.
      - If not given, E(MLFLOW_TRACKING_USERNAME) is used.
    type: str
  tracking_password:
    description:
      - The password of O(tracking_username).
      - If not given, E(MLFLOW_TRACKING_PASSWORD) is used.
    type: str
  tracking_token:
    description:
      - A bearer token. Takes precedence over O(tracking_username).
      - If not given, E(MLFLOW_TRACKING_TOKEN) is used.
    type: str
  ca_path:
    description:
      - A PEM file with the certificate authority that signed the server's certificate.
      - If not given, E(MLFLOW_TRACKING_SERVER_CERT_PATH) is used, or else the authorities that the host trusts.
    type: path
  validate_certs:
    description: Whether to verify the server's TLS certificate. Disable this for trials only.
    type: bool
    default: true
  client_cert:
    description:
      - A PEM file with a client certificate, and with its private key unless O(client_key) is given.
      - If not given, E(MLFLOW_TRACKING_CLIENT_CERT_PATH) is used.
    type: path
  client_key:
    description: A PEM file with the private key of O(client_cert).
    type: path
  timeout:
    description:
      - How long to wait for a connection, and for each response, in seconds, from 1 to 86400.
      - If not given, E(MLFLOW_HTTP_REQUEST_TIMEOUT) is used.
    type: int
    default: 30
  retries:
    description:
      - How often to retry a request, with increasing delays, after a broken connection or a 429, 502, 503 or 504 response, at most 100.
      - A write that could take effect twice is retried only after checking that it did not succeed.
    type: int
    default: 3
  workspace:
    description:
      - The workspace to work in, if the server has workspaces enabled. If not given or empty, MLflow uses V(default).
      - If not given, E(MLFLOW_WORKSPACE) is used.
    type: str
"""

    # For plugins that run on the control node, in addition to DOCUMENTATION: where else each option can be set.
    PLUGIN = r"""
options:
  tracking_uri:
    env:
      - name: MLFLOW_TRACKING_URI
    vars:
      - name: mlflow_tracking_uri
  tracking_username:
    env:
      - name: MLFLOW_TRACKING_USERNAME
    vars:
      - name: mlflow_tracking_username
  tracking_password:
    env:
      - name: MLFLOW_TRACKING_PASSWORD
    vars:
      - name: mlflow_tracking_password
  tracking_token:
    env:
      - name: MLFLOW_TRACKING_TOKEN
    vars:
      - name: mlflow_tracking_token
  ca_path:
    env:
      - name: MLFLOW_TRACKING_SERVER_CERT_PATH
    vars:
      - name: mlflow_ca_path
  validate_certs:
    vars:
      - name: mlflow_validate_certs
  client_cert:
    env:
      - name: MLFLOW_TRACKING_CLIENT_CERT_PATH
    vars:
      - name: mlflow_client_cert
  client_key:
    vars:
      - name: mlflow_client_key
  timeout:
    env:
      - name: MLFLOW_HTTP_REQUEST_TIMEOUT
    vars:
      - name: mlflow_timeout
  retries:
    vars:
      - name: mlflow_retries
  workspace:
    env:
      - name: MLFLOW_WORKSPACE
    vars:
      - name: mlflow_workspace
"""
