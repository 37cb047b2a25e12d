"""Write a new API token into the home's file api-token. The old one is refused from that moment on."""

from __future__ import annotations

import secrets
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from rich.console import Console

from txstore.home import write_whole


def run(console: Console, **_: Any) -> None:
    """The web server looks at the file for each request, so there is nobody to tell."""
    file = settings.HOME.api_token_file
    if not file.exists():
        raise CommandError(f"There is no token yet at {file}: start the cluster with `make up`.")
    write_whole(file, secrets.token_urlsafe(32))
    console.print(f"The new token is in {file}", soft_wrap=True)
