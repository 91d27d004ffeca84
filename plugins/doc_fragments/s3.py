# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connection options for an S3 server."""
from __future__ import annotations


class ModuleDocFragment:
    """Fragment C(mlops.mlflow.s3)."""

    DOCUMENTATION = r"""
options:
  endpoint_url:
    description:
      - The URL of the S3 server. If not given, AWS is used.
      - Proxies are taken from E(HTTP_PROXY), E(HTTPS_PROXY) and E(NO_PROXY).
      - If not given, the first of E(MLFLOW_S3_ENDPOINT_URL), E(AWS_ENDPOINT_URL_S3) and E(AWS_ENDPOINT_URL) that is set is used.
    type: str
  region:
    description:
      - The region to sign requests for, and to create a new bucket in. Most servers other than AWS accept any.
      - If not given, the first of E(AWS_REGION) and E(AWS_DEFAULT_REGION) that is set is used.
    type: str
    default: us-east-1
  access_key:
    description:
      - The access key ID.
      - If not given, E(AWS_ACCESS_KEY_ID) is used, or else what AWS's own tools use, their files and the host's instance role.
    type: str
  secret_key:
    description:
      - The secret access key for O(access_key).
      - If not given, E(AWS_SECRET_ACCESS_KEY) is used.
    type: str
  session_token:
    description:
      - The session token of temporary credentials.
      - If not given, E(AWS_SESSION_TOKEN) is used.
    type: str
  ca_path:
    description:
      - A PEM file with the certificate authority that signed the server's certificate.
      - If not given, E(AWS_CA_BUNDLE) is used, or else the well-known authorities.
    type: path
  validate_certs:
    description: Whether to verify the server's TLS certificate. Disable this for trials only.
    type: bool
    default: true
  addressing_style:
    description:
      - How the bucket is addressed. V(path) puts its name into the path of the URL, which every server supports.
      - V(virtual) puts it in front of the host name, which needs a wildcard in DNS and in the certificate. V(auto) leaves it to botocore.
    type: str
    choices: [path, virtual, auto]
    default: path
  timeout:
    description: How long to wait for a connection, and for each response, in seconds.
    type: int
    default: 30
  retries:
    description: How often to retry a request, with increasing delays, after a broken connection, a 5xx response or one that asks to slow down.
    type: int
    default: 3
requirements:
  - boto3 1.36 or later, on the host where the module runs
"""
