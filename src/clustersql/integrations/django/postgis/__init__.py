"""PostgreSQL with PostGIS: ``"ENGINE": "clustersql.integrations.django.postgis"``."""
