from django.db import migrations

REFUSED = frozenset({"TEMP", "TMP", "NVIDIA_VISIBLE_DEVICES", "BASH_ENV", "ENV", "SHELL", "IFS"})


def drop(apps, schema_editor):
    """Earlier releases took these variables; a launch with one would fail now. Names stay in an event."""
    services = {}
    rows = apps.get_model("services", "Revision").objects.filter(spec__framework="triton").order_by("pk")
    for row in rows.iterator():
        env = row.spec.get("env") or {}
        refused = sorted(name for name in env if name in REFUSED or name.startswith("PYTHON"))
        if refused:
            row.spec["env"] = {name: value for name, value in env.items() if name not in refused}
            row.save(update_fields=["spec"])
            services.setdefault(row.service_id, set()).update(refused)
    events = apps.get_model("services", "Event").objects
    for service, names in services.items():
        listed = ", ".join(sorted(names))
        message = f"These environment variables can no longer be set, and were removed from its revisions: {listed}."
        events.create(service_id=service, kind="edited", message=message, actor="console")


class Migration(migrations.Migration):
    dependencies = [("services", "0015_parents_of_earlier_keys")]

    operations = [migrations.RunPython(drop, migrations.RunPython.noop)]
