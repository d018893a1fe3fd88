"""Axes of a drawing: where values lie in an SVG, and which numbers stand beside them."""

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass

LEFT, RIGHT, TOP, BOTTOM = 44, 344, 18, 180
"""Where lines and points lie in a page's SVG of 360 x 200 units; the numbers of the axes stand outside."""


@dataclass(frozen=True)
class Axis:
    """``place`` of a value, and ticks as (place, number)."""

    place: Callable[[float], float]
    ticks: list[tuple[float, str]]


def even_axis(values: Collection[float], start: float, end: float) -> Axis:
    """From ``start`` at the least of the values to ``end`` at the greatest; one alone goes to the middle."""
    low, high = min(values), max(values)
    place = _linear(low, high, start, end)
    return Axis(place, [(place(tick), f"{tick:g}") for tick in even_ticks(low, high)])


def axis(values: Collection[float], start: float, end: float) -> Axis:
    """The same, by decades where the values are positive and span more than one."""
    low, high = min(values), max(values)
    if not 0 < 10 * low < high:
        return even_axis(values, start, end)
    linear = _linear(math.log10(low), math.log10(high), start, end)

    def place(value: float) -> float:
        return linear(math.log10(value))

    return Axis(place, [(place(tick), f"{tick:g}") for tick in decade_ticks(low, high)])


def even_ticks(low: float, high: float) -> list[float]:
    """At most six multiples of 1, 2 or 5 times a power of ten within ``low`` .. ``high``."""
    if low == high:
        return [low]
    power = 10.0 ** math.floor(math.log10(high - low))
    step = next(step for k in (0.2, 0.5, 1, 2) if (high - low) / (step := k * power) <= 5)
    return [k * step for k in range(math.ceil(low / step), math.floor(high / step) + 1)]


def decade_ticks(low: float, high: float) -> list[float]:
    """Powers of ten within ``low`` .. ``high``, with twice and five times each where these are few."""
    multiples = (1, 2, 5) if high / low < 100 else (1,)
    powers = range(math.floor(math.log10(low)), math.floor(math.log10(high)) + 1)
    return [tick for power in powers for k in multiples if low <= (tick := k * 10.0**power) <= high]


def _linear(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    if low == high:
        return lambda _: (start + end) / 2
    return lambda value: start + (end - start) * (value - low) / (high - low)
