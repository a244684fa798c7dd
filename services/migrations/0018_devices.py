from django.db import migrations, models


class Migration(migrations.Migration):
    """Which GPUs a node has, one by one, and which of them a replica has. Both are filled in by what runs."""

    dependencies = [("services", "0017_sockets_instead_of_ports")]

    operations = [
        migrations.AddField("node", "devices", models.JSONField(default=list)),
        migrations.AddField("replica", "devices", models.JSONField(default=list)),
    ]
