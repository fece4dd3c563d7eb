"""The knob `patroni`: its forms, its mistakes, and that its passwords are shown nowhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clustersql.config.address import Template
from clustersql.config.file import read
from clustersql.config.knobs import changed, settings
from clustersql.config.patroni import Place, Target
from clustersql.errors import ConfigError

SECRET = "s3cret"
URLS = [f"http://monitor:{SECRET}@db1:8008", "https://[fd00::2]?cafile=/etc/ca.pem"]


def knobs(value: Any, **more: Any) -> Any:
    return settings(**{"discover": "patroni", "patroni": value, **more})


@pytest.mark.parametrize("value", [URLS, tuple(URLS), ",".join(URLS)], ids=["list", "tuple", "text"])
def test_its_forms_mean_the_same(value: Any) -> None:
    first, second = knobs(value).patroni
    assert first.target() == Target("db1", 8008, False, ("monitor", SECRET), {})
    assert second.target() == Target("fd00::2", 8008, True, None, {"cafile": "/etc/ca.pem"})


def test_a_password_is_decoded_and_a_variable_is_read_at_each_question(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place(Template("http://u:${PATRONI_PASSWORD}@db1:${PATRONI_PORT}"))
    for word, port in (("a%40b", 8008), ("c", 8009)):
        monkeypatch.setenv("PATRONI_PASSWORD", word)
        monkeypatch.setenv("PATRONI_PORT", str(port))
        assert place.target() == Target("db1", port, False, ("u", word.replace("%40", "@")), {})


def test_a_place_is_shown_without_its_password_and_compared_with_it() -> None:
    place = Place(URLS[0])
    assert str(place) == "http://monitor:***@db1:8008"
    assert SECRET not in f"{place} {place!r} {knobs(URLS)!r} {place.target()!r}"
    assert place == Place(URLS[0])
    assert place != Place(URLS[0].replace(SECRET, "other"))
    assert hash(place) == hash(Place(URLS[0]))


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (["db1:8008"], "number 1: it must begin with http:// or https://"),
        (["http://db1", f"ftp://u:{SECRET}@db2"], "number 2: it must begin with http:// or https://"),
        ([f"http://u:{SECRET}@db1:0"], "number 1: its port must be a whole number from 1 to 65535"),
        ([f"http://u:{SECRET}@db1:99999"], "number 1: its port must be a whole number from 1 to 65535"),
        ([f"http://u:{SECRET}/7@db1"], "number 1: its port must be a whole number from 1 to 65535"),
        ([f"http://u:1/{SECRET}@db1"], "number 1: it must have no path: /cluster is asked"),
        ([f"http://u:1?{SECRET}@db1"], "number 1: what follows the ? is wrong"),
        ([f"http://u:1#{SECRET}@db1"], "number 1: it must have one host"),
        (["http://"], "number 1: it must have one host"),
        (["http://[::1"], "number 1: it cannot be read"),
        (["http://db1/cluster"], "number 1: it must have no path: /cluster is asked"),
        (["http://db1?cafile=/x"], "number 1: cafile are for https://"),
        (["https://db1?ca=/x"], "number 1: after the ? may stand cafile, certfile, keyfile"),
        (["https://db1?keyfile=/x"], "number 1: keyfile is for a certfile"),
        ([], "it names none"),
        ([7], "number 1: it is no text, but a int"),
        (7, "it names none"),
        ({}, "it names none"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_mistake_is_told_without_the_secret(value: Any, why: str) -> None:
    with pytest.raises(ConfigError) as raised:
        knobs(value)
    assert str(raised.value).startswith("patroni: must be a list of Patroni's addresses")
    assert why in str(raised.value)
    assert SECRET not in str(raised.value)


def test_it_is_for_patroni_s_discovery_only() -> None:
    for discover in (True, False):
        with pytest.raises(
            ConfigError, match='patroni: is for discover = "patroni": set that as well, or leave it out'
        ):
            knobs(URLS, discover=discover)
    with pytest.raises(ConfigError, match="must be true, false or \"patroni\", not 'petroni'; did you mean patroni"):
        knobs(None, discover="petroni")


def test_it_cannot_change_while_traffic_runs() -> None:
    before = knobs(URLS)
    assert changed(before, {"patroni": URLS}) == (before, [])
    after, wrong = changed(before, {"patroni": URLS[:1], "max_size": 3})
    assert wrong == ["patroni: cannot change while traffic runs: make a new cluster with it"]
    assert (after.patroni, after.max_size) == (before.patroni, 3)


def test_in_a_file_its_variables_are_read_and_its_passwords_hidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = '[clusters.shop]\ndriver = "psycopg"\ndiscover = "patroni"\npatroni = [{}]\n[[clusters.shop.nodes]]\nname = "n1"\nhost = "db1"\n'
    file = tmp_path / "config.toml"
    file.write_text(text.format(f'"http://u:${{PATRONI_PASSWORD}}@db1:${{PATRONI_PORT}}", "{URLS[0]}"'))
    [cluster] = read(file)
    assert SECRET not in repr(cluster)
    monkeypatch.setenv("PATRONI_PASSWORD", "word")
    monkeypatch.setenv("PATRONI_PORT", "8009")
    first, second = settings(**cluster.settings).patroni or ()
    assert first.target() == Target("db1", 8009, False, ("u", "word"), {})
    assert second.target().login == ("monitor", SECRET)
    for wrong, why in (
        ('"http://u:${PASS@db1"', "after ${ must follow a variable's NAME and }"),
        (f'"http://u:{SECRET}@db1:x"', "its port must be a whole number"),
        ("7", "number 1: it is no text, but a int"),
    ):
        file.write_text(text.format(wrong))
        with pytest.raises(ConfigError) as raised:
            read(file)
        assert why in str(raised.value)
        assert str(raised.value).startswith(f"{file}: clusters.shop.patroni")
        assert SECRET not in str(raised.value)
