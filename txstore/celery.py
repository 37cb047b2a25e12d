"""The Celery app: its broker is a folder of the home, so that `up` needs no other server.

*Left out*: the watch itself (`monitoring/`); what runs here is the one question whether the cluster is ready.
"""

from __future__ import annotations

import logging
import os

from celery import Celery

from txstore.home import Home
from txstore.up import is_ready

CHECK_S = 5.0
home = Home.from_env()
app = Celery("txstore")
app.conf.update(
    broker_url="filesystem://",
    broker_transport_options={
        "data_folder_in": str(home.broker / "queue"),
        "data_folder_out": str(home.broker / "queue"),
        "processed_folder": str(home.broker / "processed"),
        "control_folder": str(home.broker / "control"),
        "polling_interval": 0.2,
    },
    broker_connection_retry_on_startup=True,
    task_ignore_result=True,
    # A question that waited for the worker longer than until the next one is not asked any more.
    beat_schedule={"ready": {"task": "txstore.note_ready", "schedule": CHECK_S, "options": {"expires": CHECK_S}}},
    beat_schedule_filename=str(home.schedule_file),
)
last_seen: dict[str, bool] = {}


@app.task(name="txstore.note_ready")
def note_ready() -> bool:
    """Ask `/readyz`; a flip is written to the worker's log."""
    ready = is_ready(int(os.environ.get("TXSTORE_WEB_PORT", "8000")), timeout_s=CHECK_S)
    if last_seen.get("ready") != ready:
        logging.getLogger(__name__).warning("the cluster is %s", "ready" if ready else "not ready")
    last_seen["ready"] = ready
    return ready
