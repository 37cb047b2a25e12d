"""The permissions that the store knows, so that Django's users and groups can hold them, and what operators did."""

from __future__ import annotations

from django.db import models

READ, WRITE, OPERATE = "txstore.read", "txstore.write", "txstore.operate"


class Store(models.Model):
    """What the permissions are for; no table. Groups `readers`, `writers` and `operators` come with the migrations;
    superusers have all."""

    class Meta:
        managed = False
        default_permissions = ()
        permissions = [
            ("read", "May read the store"),
            ("write", "May read and write the store"),
            ("operate", "May say who leads and which nodes there are"),
        ]


class Operation(models.Model):
    """One thing that somebody had the cluster do; written before it is asked for (txstore/audit.py)."""

    VIA = [(via, via) for via in ("command", "REST", "admin")]

    at = models.DateTimeField(auto_now_add=True)
    by = models.CharField(max_length=150, help_text="a user of Django's, or of the machine for a command")
    via = models.CharField(max_length=8, choices=VIA)
    what = models.CharField(max_length=200)
    outcome = models.CharField(max_length=16, default="asked", help_text="asked: nothing was heard of it since")
    words = models.TextField(blank=True, help_text="what the cluster answered")

    class Meta:
        default_permissions = ("view",)
        indexes = [models.Index(fields=["at"], name="txstore_ope_at_idx")]
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.what} by {self.by}: {self.outcome}"
