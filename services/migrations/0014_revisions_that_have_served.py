from django.db import migrations, models
from django.db.models import Min


def note_those_that_serve(apps, schema_editor):
    """By the first answer of the replicas that it has; of those that ended since, nothing is known."""
    services = apps.get_model("services", "Service").objects.exclude(serving=None)
    replicas = apps.get_model("services", "Replica").objects
    revisions = apps.get_model("services", "Revision").objects
    for serving, since in services.values_list("serving_id", "state_since"):
        first = replicas.filter(revision_id=serving).aggregate(first=Min("started_at"))["first"]
        revisions.filter(pk=serving).update(served_at=min(filter(None, (first, since))))


class Migration(migrations.Migration):

    dependencies = [
        ("services", "0013_revisions_that_share_processes"),
    ]

    operations = [
        migrations.AddField(
            model_name="revision",
            name="served_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.RunPython(note_those_that_serve, migrations.RunPython.noop),
    ]
