"""An error in words: its text in one line, with that of its cause."""

from __future__ import annotations

from collections.abc import Callable


def note(error: BaseException, words: str) -> None:
    """Add a note to an error.  A program's own may refuse it (a frozen dataclass), and passes without."""
    try:
        error.add_note(words)
    except Exception:  # what must follow (a session is closed) follows all the same
        return


def text_of(error: BaseException) -> str:
    """Return an error's text; its kind where a program's own cannot tell one."""
    try:
        return str(error)
    except Exception:  # an error of an error's own would be raised in the place of that one
        return type(error).__name__


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, or its kind where it has none; and that of the error which the driver
    made it of.

    aiomysql says "Can't connect to MySQL server on 'db1'" of everything, a certificate that is refused and a name that
    is unknown.
    """
    return _with_cause(error, lambda text: text.splitlines()[0])


def in_one_line(error: BaseException) -> str:
    """Return an error's whole text in one line, otherwise as `first_line`."""
    return _with_cause(error, lambda text: " ".join(text.split()))


def _with_cause(error: BaseException, shortened: Callable[[str], str]) -> str:
    text, cause = (
        "" if each is None else shortened(text_of(each).strip() or type(each).__name__)
        for each in (error, error.__cause__)
    )
    return text if cause in text else f"{text} ({cause})"
