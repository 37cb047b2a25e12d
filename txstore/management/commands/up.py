"""`manage.py up`: start the whole cluster on this machine, in the foreground."""

from __future__ import annotations

import os
from functools import partial
from signal import SIGTERM
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser

from txstore import database, up
from txstore.home import Home, HomeError, for_the_owner_alone
from txstore.supervisor import Supervisor, die_with_parent


class Command(BaseCommand):
    help = "Start the nodes, the web server, a Celery worker and beat; Ctrl-C ends all of them."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--with-parent", action="store_true", help="end when the process that started this ends")

    def handle(self, *, with_parent: bool, **_: Any) -> None:
        if with_parent:
            die_with_parent(os.getppid(), SIGTERM)
        with for_the_owner_alone():
            self._up(Home.from_env())

    def _up(self, home: Home) -> None:
        try:
            home.refuse_foreign()
            up.refuse_running(home)
            wish = up.wish_from(os.environ, home)
            up.refuse_ports(wish)
            database.refuse_unreachable()
            held = up.lock(home)
        except HomeError as error:
            raise CommandError(str(error), returncode=2) from error
        with held:
            self._tell(f"Starting txstore on {home.path}")
            home.create(wish.shape, wish.addresses())
            call_command("prepare")
            self._run(home, wish)

    def _run(self, home: Home, wish: up.Wish) -> None:
        environment = up.environment_for(home, wish, os.environ)
        greeter = up.Welcome(home, wish, partial(up.is_ready, wish.web_port, timeout_s=2.0), self._tell)
        Supervisor(up.programs(home, wish), environment, self._tell).run(greeter.each_turn)
        self._tell("txstore has ended.")

    def _tell(self, words: str) -> None:
        self.stdout.write(words)
        self.stdout.flush()
