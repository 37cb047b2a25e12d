"""Beat's scheduler: the rows of the admin, as soon as their table is there."""

from __future__ import annotations

from django_celery_beat.schedulers import DatabaseScheduler

from txstore.database import wait_until_migrated


class Scheduler(DatabaseScheduler):
    """Celery makes it before it tells anybody that beat begins, and it reads its rows at once: so it waits itself."""

    def setup_schedule(self) -> None:
        wait_until_migrated()
        super().setup_schedule()
