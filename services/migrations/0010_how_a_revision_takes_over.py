from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("services", "0009_where_files_came_from"),
    ]

    operations = [
        migrations.AddField(
            model_name="revision",
            name="strategy",
            field=models.CharField(
                choices=[("rolling", "rolling"), ("recreate", "recreate")], default="rolling", max_length=8
            ),
        ),
        migrations.AddField(
            model_name="service",
            name="serving_replicas",
            field=models.PositiveSmallIntegerField(null=True),
        ),
    ]
