"""Validation of options that are chosen by name."""

from collections.abc import Iterable


def require_choice(key: str, value: object, choices: Iterable[str]) -> None:
    """Raise ValueError unless ``value``, given for ``key``, is one of ``choices``."""
    names = list(choices)
    if value not in names:
        *others, last = names
        listed = f"{', '.join(others)} or {last}" if others else last
        raise ValueError(f"{key}: {value!r} is not a choice; choose {listed}")
