from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("services", "0005_the_process_that_hung"),
    ]

    operations = [
        migrations.AddField(
            model_name="replica",
            name="attempts",
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.AddField(
            model_name="replica",
            name="retry_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="replica",
            name="well_pid",
            field=models.PositiveIntegerField(default=0),
        ),
    ]
