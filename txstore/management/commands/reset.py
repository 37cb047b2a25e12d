"""`manage.py reset`: delete the home, after asking."""

from __future__ import annotations

import shutil
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from txstore import up
from txstore.home import Home, HomeError


class Command(BaseCommand):
    help = "Delete the home with all its data, after asking."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--yes", action="store_true", help="do not ask")

    def handle(self, *, yes: bool, **_: Any) -> None:
        home = Home.from_env()
        if not home.exists():
            self.stdout.write(f"There is no home at {home.path}.")
            return
        try:
            up.refuse_running(home)
        except HomeError as error:
            raise CommandError(str(error), returncode=2) from error
        if not yes and not self._agrees(home):
            raise CommandError("Nothing was deleted.")
        shutil.rmtree(home.path)
        self.stdout.write(f"Deleted {home.path}.")

    def _agrees(self, home: Home) -> bool:
        try:
            return input(f"Delete {home.path} with all its data? Type yes: ").strip() == "yes"
        except EOFError:
            return False
