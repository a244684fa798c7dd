from django.db import migrations, models

KINDS = {"rate": "rate_limit_per_minute", "tokens": "tokens_per_minute"}


def share(apps, schema_editor):
    """Keys that were rotated go on with the limits of the one before, as those do that are rotated from now on."""
    keys = apps.get_model("services", "ApiKey").objects
    rows = {row.pk: row for row in keys.order_by("pk")}
    for row in rows.values():
        before = rows.get(row.replaces_id)
        if before is None:
            continue
        row.shares = {
            kind: before.shares.get(kind, before.key_id)
            for kind, field in KINDS.items()
            if getattr(before, field) is not None
        }
        if before.max_concurrent is not None:
            row.shares["slots"] = before.shares.get("slots", [[before.key_id, before.max_concurrent]])
        row.save(update_fields=["shares"])


class Migration(migrations.Migration):
    dependencies = [("services", "0010_how_a_revision_takes_over")]

    operations = [
        migrations.AddField(
            model_name="apikey",
            name="shares",
            field=models.JSONField(blank=True, default=dict),
        ),
        migrations.AddField(
            model_name="service",
            name="gateway_message",
            field=models.TextField(blank=True),
        ),
        migrations.RunPython(share, migrations.RunPython.noop),
    ]
