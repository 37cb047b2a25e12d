"""The admin pages of the front."""

from __future__ import annotations

from txstore import token_admin as token_admin
