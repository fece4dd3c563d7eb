"""Makes the tables of the commit guard: of the tokens, and of the keys of ``once``."""

from __future__ import annotations

from django.db import migrations

from clustersql.integrations.django.operations import CommitGuardTables


class Migration(migrations.Migration):
    """Whether the guard is on or not: it may be turned on later, and then finds them."""

    initial = True
    dependencies: list[tuple[str, str]] = []  # noqa: RUF012 -- as Django has it
    operations = [CommitGuardTables()]  # noqa: RUF012
