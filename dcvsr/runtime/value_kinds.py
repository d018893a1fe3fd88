"""Kinds of values that keys of the configuration take."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from omegaconf import DictConfig, ListConfig

_LARGE = 1e300


@dataclass(frozen=True)
class Number:
    """Numbers of a range, with its ends; never ``nan``.

    Args:
        least: smallest number.
        most: largest number.
        whole: True for whole numbers only.
        above: True to exclude ``least``.
        ratio: True to take text such as ``30000/1001`` as well.
        also: words that are taken as well, or None for null.
    """

    least: float = -_LARGE
    most: float = _LARGE
    whole: bool = False
    above: bool = False
    ratio: bool = False
    also: tuple[str | None, ...] = ()

    def takes(self, value: Any) -> bool:
        """Tell whether ``value`` is one of them."""
        if value is None or isinstance(value, bool | DictConfig | ListConfig):
            return value is None and None in self.also
        if isinstance(value, str):
            if not self.ratio or value in self.also:
                return value in self.also
            try:
                value = Fraction(value)
            except (ValueError, ZeroDivisionError):
                return False
        if self.whole and not (isinstance(value, int) and abs(value) < 2**64):
            return False
        return (self.least < value if self.above else self.least <= value) and value <= self.most

    def __str__(self) -> str:
        if abs(self.least) < _LARGE and self.most < _LARGE:
            ends = f" from {self.least} to {self.most}"
        elif abs(self.least) < _LARGE:
            ends = f" above {self.least}" if self.above else f" of {self.least} or more"
        else:
            ends = ""
        others = "".join(f", or {'null' if word is None else word}" for word in self.also)
        return f"{'a whole number' if self.whole else 'a number'}{ends}{others}"


@dataclass(frozen=True)
class Named:
    """One of a few names."""

    names: tuple[str, ...]

    def takes(self, value: Any) -> bool:
        """Tell whether ``value`` is one of them."""
        return isinstance(value, str) and value in self.names

    def __str__(self) -> str:
        return "one of " + ", ".join(self.names)


@dataclass(frozen=True)
class Typed:
    """Values of a type.

    Args:
        takes: tells whether a value is of the type.
        name: name of the type in messages.
    """

    takes: Callable[[Any], bool]
    name: str

    def __str__(self) -> str:
        return self.name


Kind = Number | Named | Typed

TRUTH = Typed(lambda value: isinstance(value, bool), "true or false")
WHOLE = Number(whole=True)
FROM_0 = Number(0, whole=True)
FROM_1 = Number(1, whole=True)
FROM_1_OR_NULL = Number(1, whole=True, also=(None,))
NUMBER = Number()
NOT_NEGATIVE = Number(0)
POSITIVE = Number(0, above=True)
TEXT = Typed(lambda value: isinstance(value, str | int | float), "text")
LIST = Typed(lambda value: isinstance(value, ListConfig), "a list")
LIST_OR_NULL = Typed(lambda value: value is None or isinstance(value, ListConfig), "a list or null")
GROUP = Typed(lambda value: value is None or isinstance(value, DictConfig), "a group of keys or null")
GROUP_WITHOUT_NULL = Typed(lambda value: isinstance(value, DictConfig), "a group of keys")
ANYTHING = Typed(lambda _: True, "anything")


def kind_like(default: Any) -> Kind:
    """Return the kind of values that a key with this default takes; null takes anything."""
    kinds = {bool: TRUTH, int: WHOLE, float: NUMBER, str: TEXT, ListConfig: LIST, DictConfig: GROUP}
    return kinds.get(type(default), ANYTHING)
