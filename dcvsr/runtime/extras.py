"""Packages that only some commands need: setup.cfg installs them as extras of dcvsr."""

from collections.abc import Iterator
from contextlib import contextmanager

from dcvsr.runtime.errors import UserError


def missing(use: str, package: str, extra: str) -> UserError:
    """Return the error for a package that is not installed.

    Args:
        use: what needs the package, the first words of the line.
        package: its name on the package index.
        extra: the extra of dcvsr in setup.cfg that installs it.
    """
    return UserError(f"{use} needs {package}: pip install 'dcvsr[{extra}]'")


@contextmanager
def needed(use: str, extra: str) -> Iterator[None]:
    """Wrap imports of packages that ``extra`` installs, for packages that are imported by their index name.

    Raises:
        UserError: if one is not installed, see `missing`.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise missing(use, str(error.name), extra) from error
