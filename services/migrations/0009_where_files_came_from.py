"""A revision is bound to its dataset rather than to the name, and knows where its files came from."""

import django.db.models.deletion
from django.db import migrations, models


def bind(apps, schema_editor):
    Dataset = apps.get_model("datasets", "Dataset")
    Revision = apps.get_model("services", "Revision")
    for revision in Revision.objects.select_related("service", "round"):
        dataset = Dataset.objects.filter(name=revision.spec["dataset"], team=revision.service.team_id).first()
        if dataset is None or dataset.created_at > revision.created_at:  # gone, or another one of the same name
            continue
        revision.dataset = dataset
        if revision.tree and revision.round is not None and revision.round.dataset_id == dataset.pk:
            revision.location = revision.round.location
        if revision.spec.get("framework_config", {}).get("trust_remote_code"):
            revision.permission = {"by": revision.created_by, "location": revision.location, "code": None}
        revision.save(update_fields=["dataset", "location", "permission"])
    # A rollback took its tree over from an earlier revision, without a round.
    for revision in Revision.objects.filter(round=None, location="").exclude(tree=""):
        earlier = Revision.objects.filter(
            service=revision.service_id, dataset=revision.dataset_id, tree=revision.tree
        ).exclude(location="").first()
        if earlier is not None:
            revision.location = earlier.location
            revision.save(update_fields=["location"])


class Migration(migrations.Migration):

    dependencies = [
        ("datasets", "0007_trust_in_locations"),
        ("services", "0008_what_a_key_is_bound_to"),
    ]

    operations = [
        migrations.AddField("revision", "dataset", models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="+", to="datasets.dataset")),
        migrations.AddField("revision", "location", models.CharField(blank=True, default="", max_length=64), preserve_default=False),
        migrations.AddField("revision", "permission", models.JSONField(null=True)),
        migrations.RunPython(bind, migrations.RunPython.noop),
    ]
