"""Progress within one U-Net evaluation."""

from collections.abc import Sequence

from dcvsr.diffusion.protocols import Advance


class EvaluationProgress:
    """Progress of the evaluation of some tiles, advanced by each stage of the network.

    Tiles in lockstep end their evaluations together, so counting whole evaluations would let progress stand
    still and jump.

    Args:
        shares: of the evaluation, one for each stage.
        tiles: number of tiles evaluated together.
        advance: progress callback, in evaluations of one tile.
    """

    def __init__(self, shares: Sequence[float], tiles: int, advance: Advance) -> None:
        self._shares, self._tiles, self._advance = iter(shares), tiles, advance
        self._left = 1.0

    def stage_done(self) -> None:
        """Advance by the next share."""
        share = next(self._shares, 0.0)
        self._left -= share
        self._advance(self._tiles * share)

    def finish(self) -> None:
        """Advance by the rest of the evaluation."""
        self._advance(self._tiles * self._left)
