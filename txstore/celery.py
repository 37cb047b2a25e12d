"""The Celery app of worker and beat. What runs is in `monitoring/tasks.py`, how often is for the admin to say.

Both wait for Django's database to be migrated, whoever does that: so the order in which programs start is free.
"""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from celery.signals import worker_init

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "txstore.settings")
# Django's checks load every view and form: `manage.py` makes them, and here that memory would be kept for nothing.
os.environ.setdefault("CELERY_SKIP_CHECKS", "1")

app = Celery("txstore")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["monitoring"])


@worker_init.connect
def wait_for_database(**_: Any) -> None:
    """Django is set up by now, which that module needs."""
    from txstore.database import wait_until_migrated

    wait_until_migrated()
