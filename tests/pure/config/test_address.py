"""What a driver is given is found again at each dial, and a password is shown nowhere."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from clustersql.config.address import Address, PasswordFile, Template
from clustersql.config.credentials import Credentials, NodeAddress, checked
from clustersql.config.dsn import parse
from clustersql.errors import ConfigError
from clustersql.nodes.dial import resolve, resolve_password


def test_a_password_function_is_asked_at_each_dial() -> None:
    passwords = iter(["one", "two", None])
    address = parse("n", "mysql://h", {"password": lambda: next(passwords)})
    assert [resolve_password(address) for _ in range(3)] == ["one", "two", None]


def test_a_password_function_that_raises_is_not_masked() -> None:
    with pytest.raises(ZeroDivisionError):
        resolve(parse("n", None, {"password": lambda: 1 / 0}))


async def _later() -> str:
    return "SECRET"


@pytest.mark.parametrize(("function", "found"), [(_later, "coroutine"), (lambda: b"SECRET", "bytes")])
def test_a_password_function_must_return_text(function: Any, found: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(parse("n", None, {"password": function}))
    assert str(caught.value) == f"node 'n': the password function must return a text or None, not {found}"


def test_a_password_file_is_read_at_each_dial(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    address = parse("n", None, {"password_file": str(file)})
    for content, password in ((b"a b\n", "a b"), (b"x\r\n", "x"), (b"y\n\n", "y\n"), (b" z ", " z "), (b"", "")):
        file.write_bytes(content)
        assert resolve_password(address) == password


def test_a_password_file_that_cannot_be_read(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    with pytest.raises(ConfigError, match=r"node 'n': the password file .*secret' cannot be read: No such file"):
        PasswordFile(str(file), "n")()
    file.write_bytes(b"SECRET\xff")
    with pytest.raises(ConfigError, match="not UTF-8") as caught:
        PasswordFile(str(file), "n")()
    assert caught.value.__context__ is None


def test_variables_are_read_at_each_dial(monkeypatch: pytest.MonkeyPatch) -> None:
    text = Template("mysql://${USER_X}:a${PASS_X}b@${HOST_X}/d?ca=${DIR_X}/ca")
    address = parse("n", text, {"more": [{"x": Template("${DIR_X}")}]})
    for value in ("one", "t/w@o"):
        for name in ("USER_X", "PASS_X", "HOST_X", "DIR_X"):
            monkeypatch.setenv(name, value)
        target = resolve(address)
        assert (target.user, target.password, target.host) == (value, f"a{value}b", value)
        assert target.arguments == {"ca": f"{value}/ca", "more": [{"x": value}]}
    monkeypatch.delenv("PASS_X")
    with pytest.raises(ConfigError) as caught:
        resolve(address)
    assert str(caught.value) == "node 'n': the environment variable PASS_X is not set"


def test_a_text_from_code_is_taken_as_it_is() -> None:
    assert resolve(parse("n", "mysql://u:${HOME}@h", {})).password == "${HOME}"


@pytest.mark.parametrize(
    ("template", "broken", "expanded"),
    [("$${V}", False, "${V}"), ("$V $", False, "$V $"), ("${V}${V}", False, "vv"), ("${V-}", True, "${V-}")],
)
def test_template(template: str, broken: bool, expanded: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("V", "v")
    assert Template(template).broken == broken
    assert Template(template).expand("n") == expanded


def test_repr_tells_the_truth_but_no_secret() -> None:
    address = parse("n", "mysql://app:SECRET@h:1/d?sslpassword=SECRET", {"token": "SECRET"})
    says = "node='n', scheme='mysql', host='h', port=1, user='app', database='d', password='***'"
    assert repr(address) == str(address) == f"Address({says}, arguments=['sslpassword', 'token'])"
    assert repr(parse("n", "host=h password=SECRET", {})) == "Address(node='n', dsn='host=h password=***')"


def test_an_address_is_a_frozen_value() -> None:
    address = parse("n", "mysql://h?x=1", {})
    assert len({address, parse("n", "mysql://h?x=1", {})}) == 1
    with pytest.raises(TypeError):
        address.arguments["x"] = 2  # type: ignore[index]
    with pytest.raises(AttributeError):
        address.host = "x"  # type: ignore[misc]


# A password with a mark at both ends: half a password shown is shown.
passwords = st.text(st.characters(exclude_categories=["Cs"]), max_size=12).map(lambda middle: f"QQQ{middle}WWW")
SHAPES = [
    "mysql://app:{}@h/d",
    "postgresql://app:{}@h:1/d?x=1",
    "mysql://app:{}",
    "mysql://h?password={}",
    "mysql://h?password={}&port=x",
    "postgresql://app:{}@h:99999/d/e",
    "weird://app:{}@h",
    "host=h password={} user=x",
    "host=h password='{}' user=x",
    "host=a,b password='{}'",
    "PWD={{{}}};x=y",
    "app:{}@tcp(h)/d",
    "sqlite://app:{}@x/y",
]


@given(st.sampled_from(SHAPES), passwords, st.booleans(), st.sampled_from([{}, {"port": 0}, {"host": ""}]))
@example("mysql://app:{}@h/d", "QQQ/x@WWW", False, {})
@example("mysql://app:{}@h/d", "QQQ?x=y&WWW", False, {})
@example("mysql://app:{}@h/d", "QQQ#WWW", False, {})
@example("mysql://app:{}@h/d", "QQQ]:[WWW", False, {})
def test_a_password_in_a_text_is_shown_nowhere(
    shape: str, password: str, encoded: bool, fields: dict[str, object]
) -> None:
    text = shape.format(quote(password, "") if encoded else password)
    _assert_hidden(text, fields)


@given(passwords, st.sampled_from([{}, {"port": 0}, {"password_file": "f"}, {"user": 5}]))
def test_a_password_in_a_field_is_shown_nowhere(password: str, fields: dict[str, object]) -> None:
    for given_as in (password, lambda: password, password.encode(), [password]):
        _assert_hidden("mysql://h", {"password": given_as, "passwd": password, **fields})


def _assert_hidden(text: str, fields: dict[str, object]) -> None:
    address: Address | None = None
    with contextlib.suppress(ConfigError):
        address = parse("n", text, fields)
    shown = repr(address) + str(address) + f"{address}"
    try:
        parse("n", text, fields)
    except ConfigError as exc:
        shown += str(exc) + repr(exc) + repr(exc.__cause__) + repr(exc.__context__)
    assert "QQQ" not in shown
    assert "WWW" not in shown


def test_a_user_file_is_read_at_each_dial(tmp_path: Path) -> None:
    file = tmp_path / "user"
    address = parse("n", None, {"user_file": str(file)})
    for user in ("one", "two"):
        file.write_text(f"{user}\n")
        assert resolve(address).user == user
    file.unlink()
    with pytest.raises(ConfigError, match=r"node 'n': the user file '.*user' cannot be read: No such file"):
        resolve(address)


def test_a_provider_s_answer_is_checked() -> None:
    good = Credentials("app", "secret", 12)
    assert checked(good, "n") is good
    assert "secret" not in repr(good)
    for wrong, told in (
        (("app", "secret"), "must return Credentials, not tuple"),
        (Credentials("app", b"secret"), "password of the provider's Credentials must not be of type bytes"),  # type: ignore[arg-type]
        (Credentials(5, "secret"), "user of the provider's Credentials must not be of type int"),  # type: ignore[arg-type]
        (Credentials("app", "secret", True), "expires of the provider's Credentials must not be of type bool"),
    ):
        with pytest.raises(ConfigError, match=f"node 'n': .*{told}") as raised:
            checked(wrong, "n")
        assert "secret" not in str(raised.value)


def test_a_provider_that_a_file_names_is_imported_at_its_first_use() -> None:
    place = NodeAddress("n", "db1", 5432, "shop")
    for name in ("nothing_of_this_name:read", "os:nothing_of_this_name"):
        address = parse("n", None, {"host": "db1", "credentials": name})
        assert address.credentials is not None
        with pytest.raises(ConfigError, match=rf"node 'n': credentials = '{name}' cannot be imported"):
            address.credentials(place, False)
