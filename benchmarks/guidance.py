"""Guidance: evaluations of the U-Net, and time, of DSSAG joined with CFG against its rivals."""

from collections.abc import Iterator
from functools import partial

from torch import Tensor

from benchmarks.models import Scene, configured
from benchmarks.report import Line
from benchmarks.timing import speedup
from dcvsr.attention.observer import Observer, Place
from dcvsr.attention.propagation import NoPropagation


class Evaluations(Observer):
    """``count``: evaluations of the U-Net, of one tile each; written here alone."""

    count = 0

    def evaluated(self, place: Place, x: Tensor) -> None:
        self.count += len(x)


def guidance(scene: Scene, pairs: int) -> Iterator[Line]:
    """One step of DSSAG + CFG, of SAG + CFG and of PAG + CFG on a single tile."""
    dssag, sag, pag = (
        partial(scene.denoise, NoPropagation(), configured("guidance", f"guidance={name}"))
        for name in ("dssag", "sag", "pag")
    )
    for name, work, expected in (("DSSAG", dssag, 2), ("SAG", sag, 3), ("PAG", pag, 3)):
        seen = Evaluations()
        work(observer=seen)
        yield Line(f"{name} + CFG, evaluations", seen.count, at_least=expected, at_most=expected)
    yield Line("DSSAG + CFG, times faster than SAG + CFG", speedup(sag, dssag, pairs), at_least=1.45)
    yield Line("DSSAG + CFG, times faster than PAG + CFG", speedup(pag, dssag, pairs), at_least=1.3)
