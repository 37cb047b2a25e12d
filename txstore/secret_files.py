"""Variables that may hold a password, read from files: `NAME_FILE` names the file whose text is the value of `NAME`.

So an engine can hand secrets over as files, and none stands in a container's environment for everybody to look at.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

NAMES = ("DATABASE_URL", "TXSTORE_BROKER_URL", "TXSTORE_CACHE_URL", "TXSTORE_NOTIFY_URL")


def with_files(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment with what the files say; ImproperlyConfigured where one cannot be read, or both are set."""
    found = dict(environment)
    for name in NAMES:
        if file := environment.get(f"{name}_FILE"):
            if environment.get(name):
                raise ImproperlyConfigured(f"{name} and {name}_FILE are both set: one of them has to go.")
            try:
                found[name] = Path(file).read_text().strip()
            except (OSError, UnicodeDecodeError) as error:
                raise ImproperlyConfigured(f"{name}_FILE cannot be read: {error}") from error
    return found
