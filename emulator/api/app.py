"""The application factory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from emulator import __version__
from emulator.api.control import ControlContext, control_router
from emulator.api.errors import ApiError
from emulator.api.schemas import ErrorBody, ErrorDetail


def create_app(context: ControlContext, *routers: APIRouter) -> FastAPI:
    """Return the HTTP application of one emulator: control API and ``routers``."""
    app = FastAPI(title="Exotel emulator", version=__version__, redoc_url=None)
    for router in (control_router(context), *routers):
        app.include_router(router)
    app.add_exception_handler(ApiError, _answer_api_error)
    app.add_exception_handler(Exception, _answer_internal_error)
    app.add_exception_handler(HTTPException, _answer_http_error)
    app.add_exception_handler(RequestValidationError, _answer_bad_request)
    return app


def _error(
    status: int, code: str, message: str, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    body = ErrorBody(error=ErrorDetail(code=code, message=message))
    return JSONResponse(body.model_dump(), status_code=status, headers=headers)


async def _answer_api_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ApiError)
    return _error(error.status, error.code, error.message, error.headers)


async def _answer_internal_error(_: Request, error: Exception) -> JSONResponse:
    """Answer for a bug of ours; uvicorn logs it with its traceback."""
    return _error(500, "internal", f"{type(error).__name__}; see the log")


async def _answer_http_error(request: Request, error: Exception) -> JSONResponse:
    """Answer for paths and methods that no route has."""
    assert isinstance(error, HTTPException)
    what = f"{request.method} {request.url.path}: {error.detail}"
    return _error(error.status_code, "no-route", what)


async def _answer_bad_request(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    problems = "; ".join(map(_spell, error.errors()))
    return _error(422, "bad-request", problems)


def _spell(problem: Mapping[str, Any]) -> str:
    """Return one problem with its place; that of broken JSON is a column."""
    if problem["type"] == "json_invalid":
        why = problem.get("ctx", {}).get("error", "")
        return f"the body is no JSON: {why} at character {problem['loc'][-1]}"
    place = ".".join(map(str, problem["loc"][1:])) or f"the {problem['loc'][0]}"
    return f"{place}: {problem['msg']}"
