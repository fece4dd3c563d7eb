"""Real clusters and real faults on one machine, to test how a program survives them.

``PostgresCluster``, ``GaleraCluster``, ``MariaDBServer`` and ``MySQLCluster`` start servers on loopback, without Docker
and without root, and kill, freeze, demote and repair their nodes; ``PgBouncer`` stands before those of PostgreSQL;
``FaultProxy`` stands between a client and a server and delays, cuts or swallows what passes; ``Network`` drops packets
(as root).  Needs ``pip install clustersql[testing]``; the pytest fixtures are in `clustersql.testing.fixtures`.
"""

from .galera import GaleraCluster
from .mariadb import MariaDBServer
from .mysql import MySQLCluster
from .network import Network
from .pgbouncer import PgBouncer
from .postgres import PostgresCluster
from .processes import StartError
from .proxy import FaultProxy

__all__ = [
    "FaultProxy",
    "GaleraCluster",
    "MariaDBServer",
    "MySQLCluster",
    "Network",
    "PgBouncer",
    "PostgresCluster",
    "StartError",
]
