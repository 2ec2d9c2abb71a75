"""Errors of disks and of stores elsewhere, as errors of ours that say what to do."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from orchestrator.errors import Forbidden, InvalidRequest, NoSpace, NotFound, Unavailable

if TYPE_CHECKING:
    from orchestrator.errors import OrchestratorError

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_REFUSED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_WRONG = frozenset({errno.EINVAL, errno.ENAMETOOLONG, errno.EMSGSIZE, errno.ENOSYS, errno.ENOTDIR, errno.EISDIR})
_NO_CREDENTIALS = frozenset(
    {
        "ClientAuthenticationError",
        "CredentialRetrievalError",
        "CredentialUnavailableError",
        "DefaultCredentialsError",
        "InvalidCredentials",
        "NoCredentialsError",
        "PartialCredentialsError",
        "RefreshError",
        "TokenRetrievalError",
    }
)
"""Names of classes: none of the libraries is imported before its store is used, and most are not installed."""
_LIBRARIES = frozenset({"aiobotocore", "aiohttp", "azure", "botocore", "fsspec", "gcsfs", "google", "s3fs", "urllib3"})
_CREDENTIALS = {
    "s3": "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; that identity must be allowed to list, "
    "read, write and delete there.",
    "gs": "Set GOOGLE_APPLICATION_CREDENTIALS to a key file; that identity must be allowed to list, read, write and "
    "delete there.",
    "az": "Set AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY; that "
    "identity must be allowed to list, read, write and delete there.",
}
_ENDPOINTS = {"s3": " For a store other than Amazon's set AWS_ENDPOINT_URL_S3, and AWS_REGION where it has one."}
_FAMILIES = {"s3a": "s3", "gcs": "gs", "abfs": "az", "abfss": "az", "adl": "az"}
_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _OUT_OF_RANGE = 401, 403, 404, 416
_CLIENT_ERRORS = range(400, 500)
_LATER = frozenset({408, 425, 429})


def disk_error(error: OSError, *, url: str) -> OrchestratorError:
    """Return what an error of a file below a directory means to whoever stores there."""
    if error.errno in FULL:
        return NoSpace(f"The disk that holds {url} is full.", hint="Free some space there, then try again.")
    if error.errno in _REFUSED:
        return Forbidden(
            f"{url} cannot be used: {error.strerror}.", hint="Give this user the right to read and write there."
        )
    where = f"{url} ({error.filename})" if error.filename else url
    return Unavailable(
        f"{where} cannot be used: {error.strerror or error}.", hint="Look at the disk and whether it is mounted."
    )


def credentials_hint(scheme: str) -> str:
    """Return how the credentials of a kind of store are given."""
    return _CREDENTIALS.get(_FAMILIES.get(scheme, scheme), "Set the credentials in the environment of its library.")


def is_short(error: BaseException) -> bool:
    """Tell whether a store means that an object ends before the first byte that was asked for."""
    cause = error.__cause__
    return _status(error) == _OUT_OF_RANGE or (cause is not None and _status(cause) == _OUT_OF_RANGE)


def remote_error(error: Exception, *, url: str, path: str) -> OrchestratorError | None:
    """Return what an error of a store elsewhere means, or None where it is none of a store."""
    scheme = url.partition("://")[0]
    scheme = _FAMILIES.get(scheme, scheme)
    library = type(error).__module__.partition(".")[0]
    if not isinstance(error, OSError) and library not in _LIBRARIES:
        return None
    status = _status(error)
    number = getattr(error, "errno", None)
    said = _said(error)
    if isinstance(error, FileNotFoundError) or status == _NOT_FOUND:
        return NotFound(f"{url} has no {path}.", hint="Create the bucket or container first if it is not there.")
    names = {each.__name__ for each in type(error).__mro__}
    if isinstance(error, PermissionError) or status in {_UNAUTHORIZED, _FORBIDDEN} or names & _NO_CREDENTIALS:
        return Forbidden(f"{url} refuses: {said}.", hint=credentials_hint(scheme))
    if number in FULL:
        return NoSpace(f"{url} is full: {said}.", hint="Free some space there, then try again.")
    if number in _WRONG or (status in _CLIENT_ERRORS and status not in _LATER):
        return InvalidRequest(
            f"{url} does not take {path}: {said}.", hint=f"Look at the URL.{_ENDPOINTS.get(scheme, '')}"
        )
    return Unavailable(
        f"{url} does not answer: {said}.",
        hint=f"Try again when it does; what has arrived is not sent again.{_ENDPOINTS.get(scheme, '')}",
    )


def _status(error: BaseException) -> int | None:
    """Return the HTTP status where an error tells one: each library keeps it elsewhere."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        found = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    else:
        found = getattr(error, "status_code", None) or getattr(error, "code", None) or getattr(error, "status", None)
    text = str(found)
    return int(text) if text.isdecimal() else None


def _said(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
