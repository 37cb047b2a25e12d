"""`manage.py prepare`: make Django's database ready, before the web server, worker and beat use it.

It may be repeated: a user that exists is left as it is. `up` does this by itself.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand

from txstore import database


class Command(BaseCommand):
    help = "Make or change the tables of Django's database, and the user admin if there is none."
    requires_system_checks: list[str] = []

    def handle(self, **_: Any) -> None:
        call_command("migrate", interactive=False, verbosity=0)
        users = get_user_model().objects
        if not users.filter(username="admin").exists():
            users.create_superuser("admin", password=settings.HOME.admin_password())
        database.let_go()
