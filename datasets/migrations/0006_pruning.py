from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('datasets', '0005_refusals'),
    ]

    operations = [
        migrations.AddField(
            model_name='dataset',
            name='bytes_of_pruned',
            field=models.PositiveBigIntegerField(default=0),
        ),
    ]
