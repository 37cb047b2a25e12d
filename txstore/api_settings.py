"""The settings of the API's libraries: DRF, drf-spectacular, knox, and the cache that throttles count in.

The cache lies in the memory of the web server's one worker. Who runs several workers, or several web servers, and
wants one count for all of them names a Redis server in TXSTORE_CACHE_URL.
"""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from txstore.secret_files import with_files

# What a caller may ask at once; it comes back evenly over the period.
RATES = {"transactions": "120000/min", "questions": "60000/min", "tokens": "600/min"}


REDIS_PATIENCE_S = 0.5


def rates(environment: dict[str, str]) -> dict[str, str | None]:
    """The defaults, or what `TXSTORE_THROTTLE_TRANSACTIONS` and its like say. None: no limit. ImproperlyConfigured."""
    wanted = {scope: environment.get(f"TXSTORE_THROTTLE_{scope.upper()}") or rate for scope, rate in RATES.items()}
    for scope, rate in wanted.items():
        count, _, period = rate.partition("/")
        if rate != "none" and not (count.isdecimal() and int(count) and period in ("s", "min", "h", "day")):
            raise ImproperlyConfigured(f"TXSTORE_THROTTLE_{scope.upper()} is none or like 1000/min, not {rate!r}")
    return {scope: None if rate == "none" else rate for scope, rate in wanted.items()}


def cache(url: str) -> dict[str, Any]:
    """Django's cache: this process's memory, or the Redis of `url`. ImproperlyConfigured for another kind."""
    if url and not url.startswith(("redis://", "rediss://", "unix://")):
        raise ImproperlyConfigured("TXSTORE_CACHE_URL must have the form redis://HOST:PORT/NUMBER.")
    if url:
        patience = {"socket_connect_timeout": REDIS_PATIENCE_S, "socket_timeout": REDIS_PATIENCE_S}
        backend = "django.core.cache.backends.redis.RedisCache"
        return {"BACKEND": backend, "LOCATION": url, "KEY_PREFIX": "txstore", "OPTIONS": patience}
    return {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "OPTIONS": {"MAX_ENTRIES": 100_000}}


CACHES = {"default": cache(with_files(os.environ).get("TXSTORE_CACHE_URL", ""))}

REST_FRAMEWORK = {
    "DEFAULT_RENDERER_CLASSES": ["txstore.api.renderers.QuickJSON"],
    "DEFAULT_PARSER_CLASSES": ["txstore.api.parsers.StrictJSONParser"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "txstore.api.parsers.AlwaysJSON",
    "DEFAULT_AUTHENTICATION_CLASSES": ["txstore.api.auth.BearerToken"],
    "DEFAULT_PERMISSION_CLASSES": ["txstore.api.permissions.HasWhatItNeeds"],
    "DEFAULT_THROTTLE_CLASSES": ["txstore.api.throttles.CallerThrottle"],
    "DEFAULT_THROTTLE_RATES": rates(dict(os.environ)),
    "DEFAULT_METADATA_CLASS": None,
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "txstore.api.errors.on_exception",
    "UNAUTHENTICATED_USER": None,
}

REST_KNOX = {"TOKEN_TTL": timedelta(days=30), "AUTH_HEADER_PREFIX": "Bearer"}

SPECTACULAR_SETTINGS = {
    "TITLE": "txstore",
    "DESCRIPTION": "A distributed, strictly serializable SQL store.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SERVE_AUTHENTICATION": [],
    "SERVE_INCLUDE_SCHEMA": False,
    "SORT_OPERATIONS": False,
    "DISABLE_DOCSTRING_DESCRIPTIONS": True,
    "POSTPROCESSING_HOOKS": ["txstore.api.openapi.finish"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SWAGGER_UI_SETTINGS": {"deepLinking": True, "persistAuthorization": True, "tryItOutEnabled": True},
}
