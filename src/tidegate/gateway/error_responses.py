"""Errors of the native API: ``{"error": {"code": ..., "message": ...}}`` with the matching status."""

from collections.abc import Mapping

from starlette.responses import JSONResponse

from tidegate.domain import errors

STATUS: Mapping[type[errors.TidegateError], int] = {
    errors.Invalid: 400,
    errors.NotFound: 404,
    errors.AlreadyExists: 409,
    errors.Conflict: 409,
    errors.LimitExceeded: 400,
    errors.PayloadTooLarge: 413,
    errors.IncompleteSignature: 400,
    errors.SessionEnded: 401,
    errors.TooManyAttempts: 429,
    errors.AuthError: 403,
    errors.ArtifactError: 400,
    errors.TargetRefused: 400,
    errors.Unavailable: 503,
    errors.TargetError: 503,
    errors.TidegateError: 500,
}


class MethodNotAllowed(errors.TidegateError):
    """The path exists but not with this method; ``allowed`` lists its methods."""

    code = "MethodNotAllowed"

    def __init__(self, method: str, path: str, allowed: list[str]) -> None:
        super().__init__(
            f"{method} is not allowed on {path}: use {' or '.join(m for m in allowed if m != 'HEAD')}"
        )
        self.allowed = allowed


def error_response(error: errors.TidegateError, **more: object) -> JSONResponse:
    """``more`` are further members of the error."""
    if isinstance(error, MethodNotAllowed):
        status, headers = 405, {"Allow": ", ".join(error.allowed)}
    else:
        status, headers = status_of(error), {}
    return JSONResponse({"error": {"code": error.code, "message": error.message, **more}}, status, headers)


def status_of(error: errors.TidegateError) -> int:
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
