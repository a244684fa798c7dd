from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("services", "0010_how_a_revision_takes_over"),
    ]

    operations = [
        migrations.AddField(
            model_name="revision",
            name="launch",
            field=models.PositiveIntegerField(null=True),
        ),
    ]
