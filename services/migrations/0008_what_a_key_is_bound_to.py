import django.db.models.deletion
from django.db import migrations, models


def bind(apps, schema_editor):
    """Keys are bound to the services that have their names now; names without a service stay without one."""
    living = {
        name: (pk, team)
        for pk, name, team in apps.get_model("services", "Service").objects.values_list("pk", "name", "team_id")
    }
    for key in apps.get_model("services", "ApiKey").objects.exclude(services=[]):
        bound = [living.get(name, (0, None)) for name in key.services]
        key.service_ids = [pk if key.all_teams or team == key.team_id else 0 for pk, team in bound]
        key.save(update_fields=["service_ids"])


class Migration(migrations.Migration):
    dependencies = [("services", "0007_fair_queues")]

    operations = [
        migrations.AddField(
            model_name="apikey",
            name="parent",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="children",
                to="services.apikey",
            ),
        ),
        migrations.AddField(
            model_name="apikey",
            name="service_ids",
            field=models.JSONField(blank=True, default=list),
        ),
        migrations.RunPython(bind, migrations.RunPython.noop),
    ]
