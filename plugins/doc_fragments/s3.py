# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of a connection to an S3 server."""
from __future__ import annotations


class ModuleDocFragment:
    """Fragment C(mlops.mlflow.s3)."""

    DOCUMENTATION = r"""
options:
  endpoint_url:
    description:
      - The address of the S3 server. Without one, it is AWS.
      - Proxies are taken from E(HTTP_PROXY), E(HTTPS_PROXY) and E(NO_PROXY).
      - If not given, the first is used that is set of E(MLFLOW_S3_ENDPOINT_URL), E(AWS_ENDPOINT_URL_S3) and E(AWS_ENDPOINT_URL).
    type: str
  region:
    description:
      - The region that requests are signed for, and that a new bucket is created in. Most servers other than AWS take any.
      - If not given, the first is used that is set of E(AWS_REGION) and E(AWS_DEFAULT_REGION).
    type: str
    default: us-east-1
  access_key:
    description:
      - The access key's ID. Without one, it is looked for where AWS's tools do, in their files and in the host's instance role.
      - If not given, E(AWS_ACCESS_KEY_ID) is used.
    type: str
  secret_key:
    description:
      - The secret of O(access_key).
      - If not given, E(AWS_SECRET_ACCESS_KEY) is used.
    type: str
  session_token:
    description:
      - The session token, where the credentials are temporary.
      - If not given, E(AWS_SESSION_TOKEN) is used.
    type: str
  ca_path:
    description:
      - A PEM file with the certificate authority that signed the server's certificate. Without it, the well-known authorities are trusted.
      - If not given, E(AWS_CA_BUNDLE) is used.
    type: path
  validate_certs:
    description: Whether the server's TLS certificate is verified. Turn it off for a trial only.
    type: bool
    default: true
  addressing_style:
    description:
      - Where the bucket's name stands. With V(path), after the host, which any server understands.
      - With V(virtual), before it, which needs a wildcard name in DNS and in the certificate. With V(auto), botocore decides.
    type: str
    choices: [path, virtual, auto]
    default: path
  timeout:
    description: How long to wait for a connection, and for each answer, in seconds.
    type: int
    default: 30
  retries:
    description: How often a request is sent again, with growing pauses, after a broken connection, an answer 5xx or one that asks to slow down.
    type: int
    default: 3
requirements:
  - boto3 1.36 or later, on the host where the module runs
"""
