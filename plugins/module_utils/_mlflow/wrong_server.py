# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""Detects responses of something other than a tracking server."""
from __future__ import annotations

import re

#: Response of an S3 server to other requests (docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html).
_S3_ANSWER = re.compile(rb"\s*(<\?xml[^>]*>\s*)?<(Error|ListAllMyBucketsResult|ListBucketResult)\b")
#: Responses of nginx, Go servers and Apache to plain HTTP on a TLS port.
_WANTS_TLS = re.compile(rb"plain HTTP request was sent to HTTPS port|HTTP request to an HTTPS server|speaking plain HTTP to an SSL-enabled", re.I)


def misled(status: int, payload: bytes) -> str | None:
    """Return what is wrong with the URL, judging by the response, and the remedy; None if the response may be MLflow's."""
    if 300 <= status < 400:
        return f"was redirected ({status}); give tracking_uri as it is reached without a login page in front"
    if _S3_ANSWER.match(payload):
        return f"was answered by an S3 server ({status}); give the address of the tracking server in tracking_uri"
    if _WANTS_TLS.search(payload[:2000]):
        return f"was answered that TLS is spoken there ({status}); give https:// in tracking_uri"
    return None
