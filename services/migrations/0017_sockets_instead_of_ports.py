from django.db import migrations


class Migration(migrations.Migration):
    """Replicas listen on unix sockets, whose paths follow from their names."""

    dependencies = [("services", "0016_variables_that_are_no_longer_passed")]

    operations = [
        migrations.RemoveField("replica", "http_port"),
        migrations.RemoveField("replica", "grpc_port"),
        migrations.RemoveField("replica", "metrics_port"),
    ]
