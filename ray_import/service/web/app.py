"""The application of one web process. It is made in the process that serves it."""

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.telemetry import TelemetryConfig
from starlette.middleware import Middleware

from ray_import import __version__
from ray_import.destinations.base import Destination
from ray_import.destinations.registry import parse_destination
from ray_import.service.web import health, page, routes
from ray_import.service.web.errors import handle_errors
from ray_import.service.web.job_stores import JobStores
from ray_import.service.web.middleware import AccessLog, BodyLimit
from ray_import.service.web.routes import Service
from ray_import.service.web.security import BASIC_PATHS, PUBLIC_PATHS, Authentication
from ray_import.service.web.settings import ServeOptions, ServiceSettings, service_settings

_DESCRIPTION = "Queues imports of ChatGPT exports. Workers execute them: see `ray-import work`."

_NO_TELEMETRY: TelemetryConfig = {
    "tracing": False, "metrics": False, "logs": False, "operation_spans": False, "auto_configure": False,
}  # fmt: skip
"""FastAPI's own would record queries and the input of requests that are not valid."""


def make_app() -> FastAPI:
    """The application with the settings of the environment. Raises ConfigError."""
    options = ServeOptions.of_environment()
    return app_of(service_settings(insecure=options.insecure), parse_destination(options.to))


def app_of(settings: ServiceSettings, destination: Destination) -> FastAPI:
    """The application; the first layer is the outermost. It sends no CORS headers: browsers of other sites get no
    answer."""
    service = Service(settings, JobStores(destination))

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        service.stores.start()
        gc.collect()
        gc.freeze()  # what is loaded now stays: a full collection of it would stop all requests for a while
        yield
        service.stores.stop()

    app = FastAPI(
        title="ray-import",
        description=_DESCRIPTION,
        version=__version__,
        docs_url=None,  # its scripts are another server's
        redoc_url=None,
        redirect_slashes=False,
        telemetry=_NO_TELEMETRY,
        lifespan=lifespan,
        middleware=[
            Middleware(AccessLog),
            Middleware(Authentication, secret=settings.secret),
            Middleware(BodyLimit),
        ],
    )
    app.state.service = service
    handle_errors(app)
    for room in (health, routes, page):
        app.include_router(room.router)
    document = _document(app, settings)
    app.openapi = lambda: document  # type: ignore[method-assign]
    return app


def _document(app: FastAPI, settings: ServiceSettings) -> dict[str, Any]:
    """The OpenAPI document with what the layers around the routes ask for."""
    servers = [{"url": settings.external_url}] if settings.external_url else None
    document = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes, servers=servers
    )
    schemes = {"secret": {"type": "http", "scheme": "bearer"}, "basic": {"type": "http", "scheme": "basic"}}
    document.setdefault("components", {})["securitySchemes"] = schemes
    for path, operations in document["paths"].items():
        allowed = ("secret", "basic") if path in BASIC_PATHS else ("secret",)
        for operation in operations.values():
            operation["security"] = [] if path in PUBLIC_PATHS else [{name: []} for name in allowed]
    return document
