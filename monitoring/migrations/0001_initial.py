"""The tables of the watch."""

from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="CheckResult",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("check_name", models.CharField(max_length=40, verbose_name="check")),
                ("at", models.DateTimeField(help_text="when its facts were gathered")),
                ("took_ms", models.PositiveIntegerField(verbose_name="took (ms)")),
                (
                    "state",
                    models.CharField(
                        choices=[("ok", "ok"), ("unknown", "unknown"), ("warn", "warn"), ("fail", "fail")], max_length=8
                    ),
                ),
                ("words", models.TextField()),
                ("samples", models.JSONField(default=list)),
                ("run", models.CharField(help_text="the id of the task that ran it", max_length=64, unique=True)),
            ],
            options={
                "verbose_name": "check result",
                "ordering": ["-at", "-id"],
                "indexes": [
                    models.Index(fields=["check_name", "at"], name="monitoring__check_n_29a626_idx"),
                    models.Index(fields=["at"], name="monitoring__at_6ef11e_idx"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Flip",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("check_name", models.CharField(max_length=40, verbose_name="check")),
                ("subject", models.CharField(max_length=80)),
                ("at", models.DateTimeField()),
                (
                    "before",
                    models.CharField(
                        choices=[("ok", "ok"), ("unknown", "unknown"), ("warn", "warn"), ("fail", "fail")], max_length=8
                    ),
                ),
                (
                    "after",
                    models.CharField(
                        choices=[("ok", "ok"), ("unknown", "unknown"), ("warn", "warn"), ("fail", "fail")], max_length=8
                    ),
                ),
                ("cause", models.TextField()),
                ("told_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "ordering": ["-id"],
                "indexes": [models.Index(fields=["at"], name="monitoring__at_1efa1e_idx")],
            },
        ),
        migrations.CreateModel(
            name="Standing",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("check_name", models.CharField(max_length=40, verbose_name="check")),
                ("subject", models.CharField(max_length=80)),
                (
                    "state",
                    models.CharField(
                        choices=[("ok", "ok"), ("unknown", "unknown"), ("warn", "warn"), ("fail", "fail")], max_length=8
                    ),
                ),
                ("since", models.DateTimeField()),
                ("words", models.TextField()),
                ("value", models.FloatField(null=True)),
                ("recent", models.CharField(max_length=1000)),
            ],
            options={
                "ordering": ["check_name", "subject"],
                "constraints": [
                    models.UniqueConstraint(fields=("check_name", "subject"), name="one_standing_per_subject")
                ],
            },
        ),
    ]
