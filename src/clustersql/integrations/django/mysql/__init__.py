"""MariaDB and MySQL: ``"ENGINE": "clustersql.integrations.django.mysql"``."""
