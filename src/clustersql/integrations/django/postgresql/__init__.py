"""PostgreSQL: ``"ENGINE": "clustersql.integrations.django.postgresql"``."""
