"""The permission to operate says what it has come to mean: nodes, besides leaders."""

from __future__ import annotations

from typing import Any

from django.db import migrations

PERMISSIONS = [
    ("read", "May read the store"),
    ("write", "May read and write the store"),
    ("operate", "May say who leads and which nodes there are"),
]


def rename(apps: Any, schema_editor: Any) -> None:
    """Django names a permission only once."""
    found = apps.get_model("auth", "Permission").objects.filter(content_type__app_label="txstore", codename="operate")
    found.update(name=dict(PERMISSIONS)["operate"])


class Migration(migrations.Migration):
    dependencies = [("txstore", "0002_operations")]
    operations = [
        migrations.AlterModelOptions(
            name="store", options={"managed": False, "default_permissions": (), "permissions": PERMISSIONS}
        ),
        migrations.RunPython(rename, migrations.RunPython.noop),
    ]
