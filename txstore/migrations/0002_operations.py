"""The permission to operate, the group `operators` that holds it, and the log of what operators did."""

from __future__ import annotations

from typing import Any

from django.db import migrations, models

PERMISSIONS = [
    ("read", "May read the store"),
    ("write", "May read and write the store"),
    ("operate", "May say which node leads"),
]


def make_operators(apps: Any, schema_editor: Any) -> None:
    """As in the migration before: Django would make the permission only after all of them."""
    kind = apps.get_model("contenttypes", "ContentType").objects.get(app_label="txstore", model="store")
    permissions = apps.get_model("auth", "Permission").objects
    operate, _ = permissions.get_or_create(
        content_type=kind, codename="operate", defaults={"name": dict(PERMISSIONS)["operate"]}
    )
    group, _ = apps.get_model("auth", "Group").objects.get_or_create(name="operators")
    group.permissions.add(permissions.get(content_type=kind, codename="read"), operate)


class Migration(migrations.Migration):
    dependencies = [("txstore", "0001_groups")]
    operations = [
        migrations.AlterModelOptions(
            name="store", options={"managed": False, "default_permissions": (), "permissions": PERMISSIONS}
        ),
        migrations.CreateModel(
            name="Operation",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("at", models.DateTimeField(auto_now_add=True)),
                (
                    "by",
                    models.CharField(help_text="a user of Django's, or of the machine for a command", max_length=150),
                ),
                (
                    "via",
                    models.CharField(
                        choices=[("command", "command"), ("REST", "REST"), ("admin", "admin")], max_length=8
                    ),
                ),
                ("what", models.CharField(max_length=200)),
                (
                    "outcome",
                    models.CharField(default="asked", help_text="asked: nothing was heard of it since", max_length=16),
                ),
                ("words", models.TextField(blank=True, help_text="what the cluster answered")),
            ],
            options={
                "ordering": ["-id"],
                "default_permissions": ("view",),
                "indexes": [models.Index(fields=["at"], name="txstore_ope_at_idx")],
            },
        ),
        migrations.RunPython(make_operators, migrations.RunPython.noop),
    ]
