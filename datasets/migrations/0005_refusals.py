from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('datasets', '0004_trust'),
    ]

    operations = [
        migrations.CreateModel(
            name='Refusal',
            fields=[
                ('reason', models.CharField(max_length=20, primary_key=True, serialize=False)),
                ('count', models.PositiveBigIntegerField(default=0)),
            ],
        ),
    ]
