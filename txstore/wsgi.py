"""What the web server runs; the Celery app with it, for the admin lists and starts its tasks."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

from txstore.celery import app as celery_app

__all__ = ["application", "celery_app"]

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "txstore.settings")

application = get_wsgi_application()
