"""`manage.py selfcheck`: workloads on the running cluster, and a checker's verdict on what their clients were told."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from monitoring.selfcheck.run import WORKLOADS, Finding, Wishes, worst_of
from monitoring.selfcheck.verdict import Kept, run_and_keep
from monitoring.tasks import tell_by_worker
from monitoring.verdicts import FAIL, OK
from nodes.errors import StoreError
from txstore import store
from txstore.celery import app

COLOURS = {OK: "green", FAIL: "red"}
INTERRUPTED = 130


class Command(BaseCommand):
    help = (
        "Run workloads in scratch tables (selfcheck_…) of the running cluster, and judge what their clients were told:"
        " is it strictly serializable? Exit status 0 if all of it is, 1 with the anomalies if not, 2 if it could not be"
        " found out. The verdicts are kept for the admin."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        wishes = Wishes()
        parser.add_argument("--seconds", type=float, default=wishes.seconds, help="of load (10)")
        parser.add_argument("--clients", type=int, default=wishes.clients, help="threads of each workload (3)")
        parser.add_argument("--workloads", default=",".join(WORKLOADS), help=f"some of {','.join(WORKLOADS)}")

    def handle(self, *, seconds: float, clients: int, workloads: str, **_: Any) -> None:
        self.stdout.ending = ""  # rich ends its lines itself
        console = Console(file=self.stdout)
        try:
            wishes = Wishes(seconds, clients, workloads.split(","))
            store.cluster().status(wide=False, timeout=5.0)
            kept = self._run(wishes, console)
        except ValueError as error:
            raise CommandError(f"{error}. Nothing was done.", returncode=2) from error
        except StoreError as error:
            words = f"No cluster answers: {error}. Nothing was done; start it with `make up`."
            raise CommandError(words, returncode=2) from error
        except KeyboardInterrupt:
            raise CommandError("Stopped; nothing was judged.", returncode=INTERRUPTED) from None
        app.set_current()  # its broker is the worker's
        if not tell_by_worker(kept.flips):
            self.stderr.write("The broker does not answer: a change of a state is told when the next worker starts.")
        self._tell(kept.findings, console)

    def _run(self, wishes: Wishes, console: Console) -> Kept:
        columns = TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn()
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
            bar = progress.add_task("making tables", total=wishes.seconds)

            def tell(done_s: float, begun: int) -> None:
                is_over = done_s >= wishes.seconds
                words = "reading and judging" if is_over else f"{begun:,} transactions"
                progress.update(bar, completed=min(done_s, wishes.seconds), description=words)

            return run_and_keep(store.cluster, wishes, f"command {uuid4()}", tell)

    def _tell(self, findings: list[Finding], console: Console) -> None:
        table = Table("workload", "state", "verdict", "happened", "did not", "unknown")
        for each in findings:
            counts = map(str, (each.happened, each.did_not_happen, each.unknown))
            colour = COLOURS.get(each.state, "yellow")
            table.add_row(each.workload, f"[{colour}]{each.state}", escape(each.words), *counts)
        console.print(table)
        for each in findings:
            for anomaly in each.anomalies:
                console.print(f"\n{each.workload}: {anomaly}", markup=False, highlight=False, soft_wrap=True)
        state = worst_of(findings)
        if state != OK:
            words = "What clients were told is not strictly serializable." if state == FAIL else "It was not found out."
            raise CommandError(words, returncode=1 if state == FAIL else 2)
        console.print("What clients were told is strictly serializable.")
