import re

from django.db import migrations

MADE_BY = re.compile(r"key .* \(isk_([^()]+)\)", re.DOTALL)


def set_parents(apps, schema_editor):
    """Keys made before `parent` existed name the key that made them in `created_by`. Parents come before children."""
    keys = apps.get_model("services", "ApiKey").objects
    by_key_id = dict(keys.values_list("key_id", "pk"))
    parents = {}
    for row in keys.order_by("pk"):
        parents[row.pk] = row.parent_id
        if row.parent_id is not None:
            continue
        made_by = MADE_BY.fullmatch(row.created_by)
        parent = by_key_id.get(made_by[1]) if made_by else parents.get(row.replaces_id)
        if parent is not None and parent < row.pk:
            parents[row.pk] = parent
            keys.filter(pk=row.pk).update(parent=parent)


class Migration(migrations.Migration):
    dependencies = [("services", "0014_revisions_that_have_served")]

    operations = [migrations.RunPython(set_parents, migrations.RunPython.noop)]
