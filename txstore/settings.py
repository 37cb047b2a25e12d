"""Django's settings. What differs between machines comes from the home (`txstore/home.py`) and the environment.

The database holds Django's own tables only (users, sessions, what the watch found); the store is reached through
`nodes.client`. SQLite's file keeps its rollback journal: no WAL, because several processes open it.
"""

from __future__ import annotations

import os

from txstore import environment
from txstore.api_settings import CACHES as CACHES
from txstore.api_settings import REST_FRAMEWORK as REST_FRAMEWORK
from txstore.api_settings import REST_KNOX as REST_KNOX
from txstore.api_settings import SPECTACULAR_SETTINGS as SPECTACULAR_SETTINGS
from txstore.home import PROJECT, Home
from txstore.secret_files import with_files
from txstore.theme import UNFOLD as UNFOLD

HOME = Home.from_env()
environment.refuse_addresses(HOME.nodes_at)
ENVIRONMENT = with_files(os.environ)

SECRET_KEY = HOME.django_secret_key()
DEBUG = False
ALLOWED_HOSTS = os.environ.get("TXSTORE_ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]").split(",")

INSTALLED_APPS = [
    "unfold",  # the admin's theme: before the admin
    "django.contrib.admin.apps.SimpleAdminConfig",  # urls.py loads the pages: worker and beat do without them
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "knox",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_celery_beat",
    "monitoring",
    "txstore",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "txstore.middleware.Sessions",
    "django.middleware.common.CommonMiddleware",
    "txstore.middleware.Forgeries",
    "txstore.middleware.Users",
    "txstore.middleware.Messages",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "txstore.urls"
WSGI_APPLICATION = "txstore.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [PROJECT / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

DATABASES = {"default": environment.database(ENVIRONMENT, HOME)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True

# Static files are served out of the installed packages: nothing has to be collected before the first start.
STATIC_URL = "static/"
WHITENOISE_USE_FINDERS = True

# The most that a request may carry (DESIGN.md §8). The API's parser says the same in problem+json.
MAX_BODY_BYTES = 4 * 1024 * 1024
DATA_UPLOAD_MAX_MEMORY_SIZE = MAX_BODY_BYTES

# The watch: how it reaches the cluster, and where it tells of flips ("" for nowhere).
STORE_CLIENT = "txstore.store.cluster"
NOTIFY_URL = environment.notify_url(ENVIRONMENT)

# What beat sends has no result, and its intervals are rows of the admin.
_broker = environment.broker(ENVIRONMENT, HOME)
CELERY_BROKER_URL = _broker["url"]
CELERY_BROKER_TRANSPORT = _broker.get("transport")
CELERY_BROKER_TRANSPORT_OPTIONS = _broker["transport_options"]
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_BEAT_SCHEDULER = "txstore.scheduler:Scheduler"
CELERY_BEAT_MAX_LOOP_INTERVAL = 2
CELERY_TASK_IGNORE_RESULT = True
CELERY_RESULT_EXPIRES = None
CELERY_WORKER_REDIRECT_STDOUTS = False

# A request that fails by its own fault, or is told to come back later, is no event of the server: only what has a
# trace is logged. A foreign Host header is refused without one.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "filters": {
        "has_trace": {"()": "django.utils.log.CallbackFilter", "callback": lambda record: bool(record.exc_info)},
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "loggers": {
        "django.request": {"filters": ["has_trace"]},
        "django.security.DisallowedHost": {"level": "CRITICAL"},
    },
    "root": {"handlers": ["console"], "level": "WARNING"},
}
