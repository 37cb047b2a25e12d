"""The two permissions that the store knows, so that Django's users and groups can hold them; no table."""

from __future__ import annotations

from django.db import models

READ, WRITE = "txstore.read", "txstore.write"


class Store(models.Model):
    """What the permissions are for. Groups `readers` and `writers` come with the migrations; superusers have both."""

    class Meta:
        managed = False
        default_permissions = ()
        permissions = [("read", "May read the store"), ("write", "May read and write the store")]
