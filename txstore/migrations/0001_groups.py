"""The permissions of the store, and the groups `readers` and `writers` that hold them."""

from __future__ import annotations

from typing import Any

from django.db import migrations, models

PERMISSIONS = [("read", "May read the store"), ("write", "May read and write the store")]
GROUPS = {"readers": ["read"], "writers": ["read", "write"]}


def make_groups(apps: Any, schema_editor: Any) -> None:
    """Django makes permissions after all migrations; the groups need theirs now. What is there already stays."""
    kinds = apps.get_model("contenttypes", "ContentType").objects
    permissions = apps.get_model("auth", "Permission").objects
    kind, _ = kinds.get_or_create(app_label="txstore", model="store")
    made = {
        code: permissions.get_or_create(content_type=kind, codename=code, defaults={"name": name})[0]
        for code, name in PERMISSIONS
    }
    for name, codes in GROUPS.items():
        group, _ = apps.get_model("auth", "Group").objects.get_or_create(name=name)
        group.permissions.add(*(made[code] for code in codes))


class Migration(migrations.Migration):
    initial = True
    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]
    operations = [
        migrations.CreateModel(
            name="Store",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID"))
            ],
            options={"managed": False, "default_permissions": (), "permissions": PERMISSIONS},
        ),
        migrations.RunPython(make_groups, migrations.RunPython.noop),
    ]
