"""`manage.py cluster VERB`: what an operator asks of the cluster; the verbs are the modules of `txstore.operations`."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console

from nodes.errors import StoreError
from txstore import operations


class Command(BaseCommand):
    help = "Ask or change something of the cluster."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
        for name in sorted(module.name for module in iter_modules(operations.__path__)):
            verb = _module(name)
            words = " ".join((verb.__doc__ or "").split())
            part = verbs.add_parser(name.replace("_", "-"), help=words, description=words)
            if hasattr(verb, "add_arguments"):
                verb.add_arguments(part)

    def handle(self, *, verb: str, **arguments: Any) -> None:
        self.stdout.ending = ""  # rich ends its lines itself
        try:
            _module(verb.replace("-", "_")).run(Console(file=self.stdout), **arguments)
        except StoreError as error:
            raise CommandError(str(error)) from error


def _module(verb: str) -> ModuleType:
    return import_module(f"{operations.__name__}.{verb}")
