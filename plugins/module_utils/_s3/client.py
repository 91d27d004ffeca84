# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""A client for the S3 API of any server, with one hierarchy of errors.

It is made of botocore, which is what boto3 consists of below its resource objects and what ``pip install boto3``
installs. Importing it and making a client takes 450 ms of CPU against 540 by way of boto3. Neither is imported before a client is made.
"""
from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._errors import (
    ApiError,
    Conflict,
    MissingLibrary,
    NotPermitted,
    ServerError,
    Unreachable,
    Unsupported,
)

# Error codes: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html; the others are MinIO's, Ceph's and SeaweedFS's own.
_WRONG_KEY = "the credentials are refused; check access_key and secret_key"
_WRONG_TOKEN = "the session token is refused; get a new one, and give it as session_token"
_WRONG_CREDENTIALS = {
    **dict.fromkeys(("InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidSecurity", "CredentialsNotSupported", "AuthFailure"), _WRONG_KEY),
    **dict.fromkeys(("InvalidToken", "ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"), _WRONG_TOKEN),
    "RequestTimeTooSkewed": "the clocks differ too much; set the clock of the host where the module runs",
}
_WRONG_REGION = frozenset(
    {
        "AuthorizationHeaderMalformed",
        "IllegalLocationConstraintException",
        "IncorrectEndpoint",
        "InvalidLocationConstraint",
        "InvalidRegion",
        "PermanentRedirect",
        "TemporaryRedirect",
        "XMinioInvalidRegion",
    }
)
_NOT_OFFERED = frozenset(
    {"KMSNotConfigured", "MethodNotAllowed", "NotImplemented", "NotSupported", "OperationNotSupported", "UnsupportedOperation", "XNotImplemented"}
)
#: Another writer is at work, or was first. BucketNotEmpty: something was written since the bucket was seen to be empty.
_CONFLICT = frozenset({"BucketAlreadyOwnedByYou", "BucketNotEmpty", "ConditionalRequestConflict", "OperationAborted"})
_BUSY = frozenset({"InternalError", "RequestTimeout", "ServiceUnavailable", "SlowDown", "502", "503", "504"})

Answer = dict[str, Any]


@dataclass(frozen=True)
class Connection:
    """How to reach an S3 server. ``timeout`` is in seconds. No ``endpoint_url`` means AWS, no ``access_key`` botocore's own search for one."""

    region: str
    endpoint_url: str | None = None
    is_aws: bool = False
    access_key: str | None = None
    secret_key: str | None = None
    session_token: str | None = None
    ca_path: str | None = None
    validate_certs: bool = True
    addressing_style: str = "path"
    timeout: float = 30.0
    retries: int = 3


class S3Client:
    """Calls operations of the S3 API by botocore's names, one at a time over one connection, which botocore keeps.

    Seven reads at once, by threads, took 11 % more CPU than one after the other, and no less time on a near network.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._where = connection.endpoint_url or "AWS"
        self._client: Any = None
        self._botocore: Any = None
        self._has_body = True

    def call(self, operation: str, **params: Any) -> Answer:
        """The answer of ``operation``, such as ``get_bucket_policy``, without its metadata.

        Raises Unreachable, NotPermitted, Unsupported where the server does not offer the operation, Conflict, or ApiError.
        """
        answer = self._answer(operation, params)
        headers = answer.pop("ResponseMetadata", {}).get("HTTPHeaders", {})
        # Some servers call an empty answer a page, as moto and OpenStack Swift do.
        if self._has_body and "html" in headers.get("content-type", ""):
            raise Unreachable(self._no_s3(operation, f"200 with {headers['content-type'].split(';')[0]}"))
        return answer

    def call_or_none(self, operation: str, missing: Collection[str], **params: Any) -> Answer | None:
        """Like ``call``; None where the server answers with one of the error codes in ``missing``."""
        try:
            return self.call(operation, **params)
        except ApiError as error:
            if error.code in missing:
                return None
            raise

    def download(self, **params: Any) -> bytes:
        """The content of an object, by GetObject."""
        body = self._answer("get_object", params)["Body"]
        try:
            return bytes(body.read())
        except self._botocore.exceptions.BotoCoreError as error:
            raise self._transport_error("get_object", error) from None

    def pages(self, operation: str, marks: Mapping[str, str], **params: Any) -> Iterator[Answer]:
        """Every page of a listing. ``marks`` says which key of a page is the parameter that asks for the one after it."""
        more = dict(params)
        while True:
            page = self.call(operation, **more)
            yield page
            following = {parameter: page[key] for key, parameter in marks.items() if page.get(key)}
            if not page.get("IsTruncated") or not following:
                return
            more.update(following)

    def attempt(self, operation: str, missing: Collection[str], **params: Any) -> Answer | ServerError | None:
        """Like ``call_or_none``, with an error for an answer."""
        try:
            return self.call_or_none(operation, missing, **params)
        except ServerError as error:
            return error

    # The client

    def _made(self) -> Any:
        if self._client is None:
            self._client = self._make()
        return self._client

    def _make(self) -> Any:
        try:
            import botocore.compat  # noqa: PLC0415
            import botocore.config  # noqa: PLC0415
            import botocore.exceptions  # noqa: PLC0415
            import botocore.parsers  # noqa: PLC0415
            import botocore.session  # noqa: PLC0415
        except ImportError as error:
            raise MissingLibrary("boto3", str(error)) from None
        self._botocore = botocore
        settings = self.connection
        if settings.ca_path and not os.access(settings.ca_path, os.R_OK):
            raise Unreachable(f"ca_path: {settings.ca_path!r} cannot be read on the host where the module runs; give a PEM file with certificates")
        try:
            client = botocore.session.Session().create_client(
                "s3",
                region_name=settings.region,
                endpoint_url=settings.endpoint_url,
                verify=(settings.ca_path or True) if settings.validate_certs else False,
                aws_access_key_id=settings.access_key,
                aws_secret_access_key=settings.secret_key,
                aws_session_token=settings.session_token,
                config=botocore.config.Config(
                    s3={"addressing_style": settings.addressing_style},
                    connect_timeout=settings.timeout,
                    read_timeout=settings.timeout,
                    retries={"mode": "standard", "total_max_attempts": settings.retries + 1},
                    # Since 1.36 botocore sends checksums in trailers, which servers other than AWS may not know (boto3#4392).
                    request_checksum_calculation="when_required",
                    response_checksum_validation="when_required",
                ),
            )
        except (botocore.exceptions.BotoCoreError, ValueError) as error:
            raise ServerError(f"{self._where}: no client can be made: {error}; check endpoint_url, region and the AWS configuration file") from None
        client.meta.events.register("before-call.s3", _add_content_md5)
        client.meta.events.register("response-received.s3", self._note_body)
        return client

    def _note_body(self, response_dict: Mapping[str, Any] | None = None, **_kwargs: Any) -> None:
        self._has_body = bool((response_dict or {}).get("body"))

    def _answer(self, operation: str, params: Mapping[str, Any]) -> Answer:
        method = getattr(self._made(), operation)
        try:
            answer: Answer = method(**params)
            return answer
        except self._botocore.exceptions.ClientError as error:
            raise self._server_error(operation, error.response) from None
        except (self._botocore.parsers.ResponseParserError, self._botocore.compat.XMLParseError):
            raise Unreachable(self._no_s3(operation, "something that is not XML")) from None
        except self._botocore.exceptions.ParamValidationError as error:
            raise ServerError(f"{_api_name(operation)}: {' '.join(str(error).split())}") from None
        except (self._botocore.exceptions.BotoCoreError, OSError) as error:
            raise self._transport_error(operation, error) from None

    # Errors

    def _server_error(self, operation: str, response: Mapping[str, Any]) -> ServerError:
        error, metadata = response.get("Error", {}), response.get("ResponseMetadata", {})
        code, message = str(error.get("Code", "")), " ".join(str(error.get("Message", "")).split())
        status = int(metadata.get("HTTPStatusCode", 0))
        where, said = f"{_api_name(operation)} at {self._where}", f"{status} {code}: {message}"
        if code in _BUSY:
            return Unreachable(f"{where} failed {self.connection.retries + 1} times ({said}); see the server's log")
        if code.isdigit():
            # botocore puts the status where the body holds no code, which no S3 server leaves out.
            return Unreachable(self._no_s3(operation, f"{code} with {metadata.get('HTTPHeaders', {}).get('content-type', 'no content type')}"))
        if code in _NOT_OFFERED or status in (405, 501):
            return Unsupported(f"{where} answered {said}")
        if code == "BucketAlreadyExists":
            return Conflict(f"{where}: the bucket belongs to another account ({said}); choose another name")
        if code in _CONFLICT:
            return Conflict(f"{where}: {said}")
        if code in _WRONG_REGION:
            return ServerError(f"{where}: region {self.connection.region!r} is not the right one ({said}); check region")
        if status == 403 or code in _WRONG_CREDENTIALS:
            return NotPermitted(f"{where}: {self._not_permitted(operation, code, message)}")
        if status == 507:
            return ApiError(f"{where}: the server's volume is full ({said}); enlarge it, or delete what is no longer needed", status, code)
        return ApiError(f"{where} failed ({said})", status, code)

    def _not_permitted(self, operation: str, code: str, message: str) -> str:
        if code in _WRONG_CREDENTIALS:
            return f"{_WRONG_CREDENTIALS[code]} ({code})"
        right = f"the credentials lack the right to {_api_name(operation)}"
        return f"access is denied ({code}: {message}); the bucket belongs to another account, or {right}"

    def _transport_error(self, operation: str, error: Exception) -> ServerError:
        exceptions = self._botocore.exceptions
        where, text = f"{_api_name(operation)} at {self._where}", " ".join(str(error).split())
        if isinstance(error, (exceptions.NoCredentialsError, exceptions.PartialCredentialsError)):
            return NotPermitted(f"{where}: there are no credentials; give access_key and secret_key")
        if isinstance(error, exceptions.SSLError):
            return Unreachable(self._tls_error(text))
        if isinstance(error, OSError) and self.connection.ca_path:
            return Unreachable(f"ca_path: {self.connection.ca_path!r} cannot be used: {text}; give a PEM file with certificates")
        if isinstance(error, exceptions.ProxyConnectionError):
            return Unreachable(f"{where}: the proxy cannot be reached; check HTTP_PROXY, HTTPS_PROXY and NO_PROXY")
        if isinstance(error, (exceptions.ConnectionError, exceptions.HTTPClientError)):
            return Unreachable(
                f"{where} got no answer in {self.connection.retries + 1} tries: {_reason(error, text)}; check endpoint_url, and that the server is "
                "up and can be reached from the host where the module runs"
            )
        return ServerError(f"{where}: {text}")

    def _tls_error(self, text: str) -> str:
        if "CERTIFICATE_VERIFY_FAILED" in text:
            why = text.partition("CERTIFICATE_VERIFY_FAILED] certificate verify failed: ")[2].partition(" (_ssl")[0]
            return f"{self._where}: the server's TLS certificate is not trusted: {why or text}; give the CA that signed it as ca_path"
        if "WRONG_VERSION_NUMBER" in text or "record layer failure" in text:
            return f"{self._where}: the server does not speak TLS there; check the scheme and the port of endpoint_url"
        if "NO_CERTIFICATE_OR_CRL_FOUND" in text or "PEM" in text:
            return f"ca_path: {self.connection.ca_path!r} contains no certificate; give a PEM file with certificates"
        return f"{self._where}: TLS failed: {text}; check endpoint_url and ca_path"

    def _no_s3(self, operation: str, answer: str) -> str:
        return (
            f"{_api_name(operation)} at {self._where}: this is not an S3 API, it answered {answer}; check that endpoint_url is the server's S3 API, "
            "not its console, a proxy or an MLflow server"
        )


def _add_content_md5(params: dict[str, Any], **_kwargs: Any) -> None:
    """Send Content-MD5 as well, which older servers demand where AWS takes a CRC32. botocore stopped at 1.36.0 (see its changelog)."""
    body = params.get("body")
    if isinstance(body, bytes) and body and "Content-MD5" not in params["headers"]:

        params["headers"]["Content-MD5"] = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()


def _api_name(operation: str) -> str:
    """The name in the API's reference: ``get_bucket_acl`` is GetBucketAcl."""
    return "".join(word.capitalize() for word in operation.split("_"))


def _reason(error: Exception, text: str) -> str:
    cause = str(getattr(error, "kwargs", {}).get("error", text))
    for sign, reason in (
        ("Connection refused", "connection refused"),
        ("Name or service not known", "the host name does not resolve"),
        ("name resolution", "the host name does not resolve"),
        ("No address associated", "the host name does not resolve"),
        ("timed out", "timed out"),
        ("timeout", "timed out"),
        ("Connection was closed", "the connection was closed"),
    ):
        if sign in cause or sign in text:
            return reason
    return text
