"""SQLAlchemy over a cluster, by its URL:
``create_engine("postgresql+psycopg:///?plugin=clustersql&clustersql_cluster=shop")``.

`Plugin` is SQLAlchemy's entry point; `read_only`, `run`, `arun`, `following` and `cause` are what a program may call.
"""

from ..attempts import cause
from ..following import following
from .plugin import Plugin, read_only
from .rerun import arun, run

__all__ = ["Plugin", "arun", "cause", "following", "read_only", "run"]
