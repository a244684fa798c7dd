from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("services", "0004_usage"),
    ]

    operations = [
        migrations.AddField(
            model_name="replica",
            name="hung_pid",
            field=models.PositiveIntegerField(default=0),
        ),
    ]
