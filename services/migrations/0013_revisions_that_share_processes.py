from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("services", "0012_nodes_that_report"),
    ]

    operations = [
        migrations.AddField(
            model_name="revision",
            name="launch",
            field=models.PositiveIntegerField(null=True),
        ),
    ]
