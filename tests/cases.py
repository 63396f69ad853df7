"""Cases that one test goes through in a loop, where a test for each would cost more than what it tests."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def named(case: object) -> Iterator[None]:
    """What fails within says which case it was."""
    try:
        yield
    except BaseException as failure:  # pytest's own are no Exceptions
        failure.add_note(f"case: {case}")
        raise
