"""Both forms of the file are read, and every mistake is told with its file and key path, all at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from clustersql.cluster import from_config
from clustersql.config.address import PasswordFile
from clustersql.config.file import ClusterConfig, default_path, read
from clustersql.config.knobs import KNOBS, settings
from clustersql.config.patroni import Place
from clustersql.errors import ConfigError
from clustersql.nodes.dial import resolve

FILES = Path(__file__).parent / "files"


def _told(path: Path | str, **arguments: Any) -> list[str]:
    """Return the mistakes that reading the file raises, without the file's name."""
    with pytest.raises(ConfigError) as caught:
        read(path, **arguments)
    lines = str(caught.value).splitlines()
    if len(lines) > 1:
        assert lines.pop(0) == f"{len(lines)} mistakes in {path}:"
        lines = [line.removeprefix("  - ") for line in lines]
    assert all(line.startswith(str(path)) for line in lines)
    return [line.removeprefix(str(path)).removeprefix(": ") for line in lines]


def test_our_form(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shop, report = read(FILES / "shop.toml")
    assert (shop.name, shop.driver, shop.async_driver) == ("shop", "pymysql", "asyncmy")
    assert shop.settings == {"policy": "race", "read_only": False, "max_size": 20, "timeout": 3}
    assert settings(**shop.settings).max_size == 20
    assert [name for name, _ in shop.nodes] == ["galera1", "galera2"]
    assert (report.name, report.driver, report.settings) == ("report", None, {"read_only": True})
    monkeypatch.setenv("SHOP_PASSWORD", "s@crt")
    monkeypatch.setenv("CERTS", "/etc/certs")
    monkeypatch.chdir(tmp_path)
    Path("shop.secret").write_text("from a file\n")
    first, second = (resolve(address) for _, address in shop.nodes)
    tls = {"ca": "/etc/certs/ca.pem", "check_hostname": True}
    assert (first.host, first.port, first.user, first.password, first.database) == (
        ("dbhost1", 3306, "app", "s@crt", "shop")
    )
    assert first.arguments == {"charset": "utf8mb4", "ssl": tls, "read_timeout": "7"}
    assert (second.host, second.port, second.user, second.password) == ("dbhost2", 3306, "app", "from a file")
    assert second.arguments == {"charset": "latin1", "ssl": tls, "connect_attempts": 3}
    assert resolve(report.nodes[0][1]).dsn == "host=dbhost3 dbname=shop password=s@crt"


def test_the_ancestors_form() -> None:
    (cluster,) = read(FILES / "ancestor.toml")
    assert (cluster.name, cluster.driver, cluster.async_driver) == ("default", None, None)
    assert cluster.settings == {"writer": "any"}
    targets = [resolve(address) for _, address in cluster.nodes]
    assert [name for name, _ in cluster.nodes] == ["maria1", "maria2", "maria3"]
    assert [target.port for target in targets] == [3301, 3302, 3303]
    assert [target.password for target in targets] == [None, "a${b}c", None]
    assert {(t.host, t.user, t.database) for t in targets} == {("127.0.0.1", "root", "test")}


def test_name_and_driver_are_given_for_the_ancestors_form() -> None:
    (cluster,) = read(FILES / "ancestor.toml", name="write_conn", driver="pymysql")
    assert (cluster.name, cluster.driver) == ("write_conn", "pymysql")


def test_name_picks_and_driver_replaces_in_our_form() -> None:
    (cluster,) = read(FILES / "shop.toml", name="shop", driver="MySQLdb")
    assert (cluster.name, cluster.driver) == ("shop", "MySQLdb")
    assert _told(FILES / "shop.toml", name="shpo") == ["no cluster 'shpo'; did you mean shop?"]


def test_every_mistake_is_told_at_once() -> None:
    expected = (FILES / "mistakes.txt").read_text().splitlines()
    told = _told(FILES / "mistakes.toml")
    assert sorted(told) == sorted(expected)


NODE = '[[clusters.a.nodes]]\nname = "n"\nurl = "mysql://h"\n'
OLD = '[[Nodes]]\nName="n"\nHostName="h"\nPort=1\nUserName="u"\nDBName="d"\n'
BAD = [
    ("", ["is empty: add [clusters.NAME] and its [[clusters.NAME.nodes]]"]),
    ("# nothing\n", ["is empty: add [clusters.NAME] and its [[clusters.NAME.nodes]]"]),
    ("[clusters]", ["clusters: no clusters: add [clusters.NAME] and its [[clusters.NAME.nodes]]"]),
    ("clusters = 1", ["clusters: must be a table"]),
    ("[clusters]\na = 1", ["clusters.a: must be a table"]),
    ("[clusters.a]", ["clusters.a.nodes: no nodes: add at least one, each under [[...]]"]),
    ("[clusters.a]\nnodes = [1]", ["clusters.a.nodes[0]: must be a table"]),
    ("[[clusters.a.nodes]]\nurl = 'mysql://h'", ["clusters.a.nodes[0].name: is missing"]),
    (NODE + "url = 2", [":4:8: no valid TOML: Cannot overwrite a value"]),
    (NODE + "port = \n", [":4:8: no valid TOML: Invalid value"]),
    (NODE + "user = 'SECRET", [":4:15: no valid TOML: Expected \"'\""]),
    (NODE + "port = " + "9" * 5000, ["no valid TOML: Exceeds the limit"]),
    (NODE + NODE, ["clusters.a.nodes[1].name: 'n' is already the name of clusters.a.nodes[0]"]),
    (NODE + "dsn = 'x'", ["clusters.a.nodes[0].dsn: give either url or dsn, not both"]),
    (NODE + "arguments = 1", ["clusters.a.nodes[0].arguments: must be a table"]),
    (NODE + "arguments = {user = 'x'}", ["clusters.a.nodes[0].arguments.user: is a key of the node itself"]),
    (NODE + "arguments = {x = [{y = '${'}]}", ["clusters.a.nodes[0].arguments.x[0].y: after ${ must follow"]),
    (NODE + "password = 'a${1}'", ["clusters.a.nodes[0].password: after ${ must follow"]),
    (NODE + "hots = 'x'", ["clusters.a.nodes[0].hots: no such key; did you mean host?"]),
    (NODE + "[clusters.a]\ndriver = 3", ["clusters.a.driver: must be the name of a driver, not 3"]),
    (NODE + "[clusters.a]\nmin_idle = 50", ["clusters.a.min_idle: must not exceed max_size, which is 10, not 50"]),
    (NODE + "[clusters.a]\ntimeout = inf", ["clusters.a.timeout: must be a number of seconds above 0"]),
    (NODE + "[clusters.a]\ntimeout = true", ["clusters.a.timeout: must be a number of seconds above 0"]),
    (NODE + "[cluster.b]\nx = 1", ["cluster: no such key; did you mean clusters?"]),
    (NODE + "weight = 3", ['clusters.a.nodes[0].weight: only policy "weighted" uses it, not "least-latency"']),
    (NODE + "priority = 2\n[clusters.a]\npolicy = 'weighted'",
     ['clusters.a.nodes[0].priority: only policy "priority" uses it, not "weighted"']),
    (NODE + "weight = -1\n[clusters.a]\npolicy = 'weighted'",
     ["clusters.a.nodes[0].weight: must be a number from 0 to 1000000, not -1"]),
    (NODE + "weight = nan\n[clusters.a]\npolicy = 'weighted'", ["clusters.a.nodes[0].weight: must be a number from 0"]),
    (NODE + "weight = '3'\n[clusters.a]\npolicy = 'weighted'", ["clusters.a.nodes[0].weight: must be a number from 0"]),
    (NODE + "priority = 1.5\n[clusters.a]\npolicy = 'priority'",
     ["clusters.a.nodes[0].priority: must be a whole number, at least 0, not 1.5"]),
    (NODE + "[clusters.a]\nlocal_threshold = 0.1",
     ['clusters.a.local_threshold: only policy "nearest" uses it, not "least-latency"']),
    (OLD + NODE, ["holds both [clusters.NAME] and [[Nodes]]: keep one form"]),
    ("[[nodes]]\nName='n'", ["clusters: no clusters: add ", "nodes: no such key; did you mean Nodes?"]),
    ("Nodes = []", ["Nodes: no nodes: add at least one"]),
    ("Nodes = 1", ["Nodes: must be an array of tables"]),
    (OLD + OLD, ["Nodes[1].Name: 'n' is already the name of Nodes[0]"]),
    (OLD + "HostNam = 'h'", ["Nodes[0].HostNam: no such key; did you mean HostName?"]),
    (OLD.replace("Port=1", "Port=0"), ["Nodes[0].Port: must be a whole number from 1 to 65535, not 0"]),
    (OLD.replace("Port=1", "Port='1'"), ["Nodes[0].Port: must be a whole number from 1 to 65535, not '1'"]),
    (OLD + "Password = 5", ["Nodes[0].Password: must be a text, not the int that is there"]),
    ("[[Nodes]]\nName = 'n'", [f"Nodes[0].{key}: is missing" for key in ("HostName", "Port", "UserName", "DBName")]),
    ("[[Nodes]]\n[[Nodes]]", [f"Nodes[{i}].{k}: is missing" for i in (0, 1)
                              for k in ("Name", "HostName", "Port", "UserName", "DBName")]),
]  # fmt: skip


@pytest.mark.parametrize(("content", "says"), BAD)
def test_bad(content: str, says: list[str], tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(content)
    told = _told(file)
    assert len(told) == len(says), told
    for mistake, start in zip(told, says, strict=True):
        assert mistake.startswith(start), told
        assert "SECRET" not in mistake


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    absent = tmp_path / "absent.toml"
    assert _told(absent) == ["cannot be read: No such file or directory; name a file or set DBCONFIG"]
    assert _told(tmp_path) == ["cannot be read: Is a directory; name a file or set DBCONFIG"]
    absent.write_bytes(b"x = 'SECRET\xff'")
    assert _told(absent) == ["cannot be read: byte 11 is not UTF-8"]
    with pytest.raises(ConfigError, match="cannot be read: embedded null byte"):
        read("a\0b")


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes(b"\xef\xbb\xbf" + NODE.encode())
    assert [cluster.name for cluster in read(file)] == ["a"]


def test_default_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("DBCONFIG", raising=False)
    assert default_path() == "config.toml"
    monkeypatch.setenv("DBCONFIG", str(FILES / "ancestor.toml"))
    assert default_path() == str(FILES / "ancestor.toml")
    assert len(read()) == 1


def test_without_pydantic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydantic", None)
    with pytest.raises(ConfigError, match=r'pip install "clustersql\[toml\]"'):
        read(FILES / "shop.toml")


def test_import_is_light() -> None:
    heavy = "{'pydantic', 'tomllib', 'urllib', 'urllib.parse', 'difflib'}"
    code = f"import sys; before = set(sys.modules); import clustersql.config.file; print((set(sys.modules) - before) & {heavy})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("name", [name for name, knob in KNOBS.items() if knob.in_file])
def test_every_knob_can_stand_in_a_file(name: str, tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    default = KNOBS[name].default
    places = (Place("http://db1:8008"),)
    unset = {"dialect": "sqlite", "max_lag": "16MB", "address_map": {"10.0.0.1": "db1:5432"}, "patroni": places}
    unset |= {"zone": "eu-1a", "zone_map": {"db1": "eu-1a"}}
    value = unset[name] if default is None else default
    shown = {True: "true", False: "false"}.get(value) if isinstance(value, bool) else repr(value).replace("':", "' =")
    shown = "['http://db1:8008']" if value == places else shown
    needed = {"address_map": {"discover": True}, "zone_map": {"zone": "eu-1a"}, "patroni": {"discover": "patroni"}}
    with_it = needed.get(name, {})
    also = {"address_map": "discover = true", "zone_map": "zone = 'eu-1a'", "patroni": "discover = 'patroni'"}.get(
        name, ""
    )
    file.write_text(f"{NODE}[clusters.a]\n{also}\n{name} = {shown}")
    (cluster,) = read(file)
    assert cluster.settings == {**with_it, name: value}
    settings(**cluster.settings)


def test_weights_and_priorities_of_a_file_reach_the_nodes(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    nodes = NODE + "weight = 0.5\n" + NODE.replace('"n"', '"m"').replace("//h", "//h?weight=2.5")
    file.write_text(nodes + NODE.replace('"n"', '"o"') + "[clusters.a]\npolicy = 'weighted'\ndriver = 'pymysql'")
    (config,) = read(file)
    cluster = from_config(config.name, config.driver, None, config.settings, config.nodes)
    assert {node.name: node.weight for node in cluster.view} == {"n": 0.5, "m": 2.5, "o": 1.0}
    assert cluster._topology.addresses["m"].arguments == {}


PLACES = [
    "url = {}",
    "url = 5\npassword = {}",
    "host = 5\nurl = {}",
    "dsn = {}\nport = 0",
    "password = {}\npasswordd = {}",
    "password = [{}]",
    "port = 0\narguments = {{ token = {}, password = {} }}",
    "arguments = [{}]",
    "host = 'h'\npassword = {}\n[clusters.a]\nmax_size = -1",
    "host = 'h'\nnodes = {}",
    "host = 'h'\npassword = {}\nurl = ",
]
printable = st.text(st.characters(codec="utf-8", exclude_characters="\"\\'", exclude_categories=["C", "Zl", "Zp"]))


@pytest.mark.parametrize("place", PLACES)
@hypothesis_settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(password=printable.map("QQQ{}WWW".format), shape=st.sampled_from(["{}", "mysql://a:{}@h/d", "password={}"]))
def test_a_password_in_a_file_is_shown_nowhere(place: str, password: str, shape: str, tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    value = '"' + shape.format(password) + '"'
    hidden = ("url", "dsn") if shape == "{}" else ()
    if any(f"{key} = {{}}" in place for key in hidden):
        return  # a bare word there is a path, not a password
    file.write_text(
        '[[clusters.a.nodes]]\nname = "n"\n' + place.replace("{}", value).replace("{{", "{").replace("}}", "}")
    )
    try:
        shown = repr(read(file))
    except ConfigError as exc:
        shown = str(exc) + repr(exc.__cause__) + repr(exc.__context__)
    assert "QQQ" not in shown
    assert "WWW" not in shown


def test_a_password_file_is_shown_by_its_path_only() -> None:
    (cluster,) = read(FILES / "shop.toml", name="shop")
    assert isinstance(cluster, ClusterConfig)
    assert isinstance(cluster.nodes[1][1].password, PasswordFile)
    assert "password='***'" in repr(cluster)
