"""Datasets of before this are trusted: their services ran whatever they hold, and go on doing so."""

from django.db import migrations, models
from django.utils import timezone

BY = "the console, when it was updated"


def trust_what_is_there(apps, schema_editor):
    Dataset = apps.get_model("datasets", "Dataset")
    Dataset.objects.update(trusted=True, trusted_by=BY, trusted_at=timezone.now())


class Migration(migrations.Migration):

    dependencies = [
        ("datasets", "0003_credentials"),
    ]

    operations = [
        migrations.AddField("dataset", "trusted", models.BooleanField(default=False)),
        migrations.AddField("dataset", "trusted_by", models.CharField(blank=True, max_length=150)),
        migrations.AddField("dataset", "trusted_at", models.DateTimeField(null=True)),
        migrations.RunPython(trust_what_is_there, migrations.RunPython.noop),
    ]
