"""Sockets seen from outside."""

from __future__ import annotations

import os
import socket

import pytest

from clustersql.drivers.base import sockets


def _message(kind: bytes, body: bytes = b"") -> bytes:
    return kind + (4 + len(body)).to_bytes(4, "big") + body


@pytest.mark.parametrize(
    ("pending", "news"),
    [
        (_message(b"A", b"x\0"), True),
        (_message(b"A") + _message(b"N", b"notice") + _message(b"S", b"a\0b\0"), True),
        (_message(b"E", b"57P01"), False),
        (_message(b"N", b"warning") + _message(b"E"), False),  # a notice first, then the end
        (_message(b"A", b"whole")[:-1], False),
        (b"A\0", False),
        (b"", False),
        (b"\x15\x03\x03\x00\x1a", False),  # a TLS record
        (b"A\0\0\0\0" * 3, False),
    ],
)
def test_only_news(pending: bytes, news: bool) -> None:
    assert sockets.only_news(pending) is news


def test_peek_consumes_nothing_and_the_end_is_empty() -> None:
    left, right = socket.socketpair()
    with left, right:
        assert not sockets.is_readable(right.fileno())
        left.sendall(b"abc")
        assert sockets.is_readable(right.fileno())
        assert sockets.peek(right.fileno()) == b"abc"
        assert right.recv(9) == b"abc"
        left.close()
        assert sockets.is_readable(right.fileno())
        assert sockets.peek(right.fileno()) == b""


def test_shut_down_spares_a_stranger_under_the_same_number() -> None:
    left, right = socket.socketpair()
    number, identity = left.fileno(), sockets.identity(left.fileno())
    left.close()
    right.close()
    stranger, peer = socket.socketpair()
    with stranger, peer:
        os.dup2(stranger.fileno(), number) if stranger.fileno() != number else None
        assert sockets.shut_down(number, identity) is False
        peer.sendall(b"x")
        assert stranger.recv(1) == b"x"
        assert sockets.shut_down(number) is True
        assert stranger.recv(1) == b""
        if stranger.fileno() != number:
            os.close(number)


def test_what_has_come_is_counted_read_or_not() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        peer = server.accept()[0]
        with peer:
            assert sockets.received(client.fileno()) == 0
            for count in (3, 6):
                peer.sendall(b"abc")
                assert client.recv(2) == b"ab"
                assert sockets.received(client.fileno()) == count
                assert client.recv(1) == b"c"
                assert sockets.received(client.fileno()) == count
    assert sockets.received(client.fileno()) is None
    left, right = socket.socketpair()
    with left, right:
        assert sockets.received(left.fileno()) is None


def test_a_number_means_the_same_socket_only_while_that_is_open() -> None:
    left, right = socket.socketpair()
    number, identity = left.fileno(), sockets.identity(left.fileno())
    assert sockets.is_still(number, identity)
    left.close()
    assert not sockets.is_still(number, identity)
    assert not sockets.is_still(right.fileno(), identity)
    right.close()


def test_keep_alive_is_set_on_tcp_and_tolerates_the_rest() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        sockets.keep_alive(client.fileno())
        assert client.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert client.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == sockets.USER_TIMEOUT
    left, right = socket.socketpair()
    with left, right:
        sockets.keep_alive(left.fileno())


def _error(*fields: bytes, kind: bytes = b"E") -> bytes:
    return _message(kind, b"\0".join((*fields, b"\0")))


@pytest.mark.parametrize(
    ("pending", "word"),
    [
        (_error(b"SFATAL", b"VFATAL", b"C25P03", b"Mtoo long"), "25P03"),
        (
            _error(b"SLOG", kind=b"N") + _message(b"A", b"\0\0\0\1x") + _error(b"SSCHWER", b"VFATAL", b"C57P01"),
            "57P01",
        ),
        (_error(b"SERROR", b"VERROR", b"C42601"), None),
        (_message(b"D", b"row") + _error(b"VFATAL", b"C57P01"), None),
        (b"\x17\x03\x03\x00\x13 encrypted", None),
        (b"E\x00", None),
        (b"", None),
    ],
)
def test_the_last_word(pending: bytes, word: str | None) -> None:
    assert sockets.last_word(pending) == word
