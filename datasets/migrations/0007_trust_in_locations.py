"""Trust becomes bound to the location of the files.

A trusted dataset that nobody changed since stays trusted, with later changes: that is what an owner was told before.
One that was changed after it was trusted may point elsewhere by now, so its trust is not carried over.
"""

import hashlib
import json
from datetime import timedelta

import django.db.models.deletion
from django.db import migrations, models

SAME = timedelta(seconds=2)
"""Trust was written with the time of the change; the two clocks were read one after the other."""


def location_of(dataset):
    # As Dataset.location was when this migration was written.
    place = {name: value for name, value in dataset.options.items() if value}
    return hashlib.sha256(json.dumps([dataset.kind, place], sort_keys=True).encode()).hexdigest()


def bind(apps, schema_editor):
    Dataset, Round, Trust = (apps.get_model("datasets", name) for name in ("Dataset", "Round", "Trust"))
    for dataset in Dataset.objects.all():
        location = location_of(dataset)
        Round.objects.filter(dataset=dataset, created_at__gte=dataset.updated_at).update(location=location)
        if not dataset.trusted:
            continue
        if dataset.trusted_at is not None and dataset.updated_at <= dataset.trusted_at + SAME:
            Trust.objects.create(dataset=dataset, location=location, later_changes=True)
        else:
            Dataset.objects.filter(pk=dataset.pk).update(
                trusted_by="the console, when it was updated: the dataset had been changed after it was trusted"
            )


class Migration(migrations.Migration):

    dependencies = [
        ("datasets", "0006_pruning"),
    ]

    operations = [
        migrations.AddField("round", "location", models.CharField(blank=True, default="", max_length=64), preserve_default=False),
        migrations.CreateModel(
            name="Trust",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("location", models.CharField(max_length=64)),
                ("later_changes", models.BooleanField(default=False)),
                ("dataset", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="trusts", to="datasets.dataset")),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("dataset", "location"), name="one_trust_in_a_location")],
            },
        ),
        migrations.CreateModel(
            name="TrustedCopy",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("path", models.CharField(blank=True, max_length=1024)),
                ("files", models.JSONField()),
                ("trust", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="copies", to="datasets.trust")),
            ],
        ),
        migrations.RunPython(bind, migrations.RunPython.noop),
        migrations.RemoveField("dataset", "trusted"),
    ]
