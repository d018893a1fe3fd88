"""Progress bar of a sampling run, in U-Net evaluations."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor
from tqdm import tqdm

from dcvsr.attention.observer import Observer, Place

EVALUATIONS = (
    "{desc}: {percentage:3.0f}%|{bar}| {n:.0f}/{total_fmt} [{elapsed}<{remaining}, {rate_fmt}{postfix}]"
)
"""tqdm's format with a count that is rounded, because evaluations advance in parts."""


class SamplingBar(Observer):
    """Progress bar with the time left, the step and the window.

    The time before the first evaluation, in which the condition is computed, does not enter the estimate.
    """

    def __init__(self, bar: tqdm, steps: int) -> None:
        self._bar, self._steps, self._started = bar, steps, False

    def advance(self, done: float) -> None:
        """Advance the bar by newly finished evaluations, or frames where there are none."""
        self._bar.update(min(done, self._bar.total - self._bar.n))  # sums of shares end a little beyond

    def evaluated(self, place: Place, x: Tensor) -> None:
        """Show the step and the window of an evaluation."""
        if not self._started:
            self._bar.unpause()
            self._started = True
        self._bar.set_postfix_str(
            f"step {place.step + 1}/{self._steps}, window {place.window + 1}", refresh=False
        )

    def reached(self, stage: str, done: int, total: int) -> None:
        """Show the progress of a stage outside the U-Net."""
        self._bar.set_postfix_str(f"{stage} {done}/{total}", refresh=False)
        self._bar.update(0)

    def rename(self, name: str) -> None:
        """Show another name before the bar."""
        self._bar.set_description_str(name, refresh=False)

    def resumed(self, done: float) -> None:
        """Begin the bar and its estimate at evaluations that were finished before."""
        self._bar.initial += done
        self._bar.update(done)


@contextmanager
def sampling_bar(total: int, name: str, steps: int = 1, shown: bool = True) -> Iterator[SamplingBar]:
    """Show a bar of ``total`` evaluations while the block runs.

    Args:
        total: evaluations, or frames of a method without a denoiser.
        name: shown before the bar.
        steps: sampler steps.
        shown: whether anything is printed.
    """
    # The mean speed so far (smoothing=0), because stages of the network differ in seconds per FLOP.
    look = {"desc": name, "unit": "eval", "bar_format": EVALUATIONS, "smoothing": 0, "disable": not shown}
    with tqdm(total=total, **look) as bar:
        yield SamplingBar(bar, steps)
