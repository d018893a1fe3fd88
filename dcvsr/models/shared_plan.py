"""Prediction of what several ranks gain and exchange when they share a clip."""

from collections.abc import Sequence
from dataclasses import dataclass

from dcvsr.attention.alternating import Alternating
from dcvsr.models.conditioning import pictures
from dcvsr.models.planned_cost import PlannedCost, halved
from dcvsr.models.sharing import owners, positions, together
from dcvsr.models.tiled import Visit, grouped, visits
from dcvsr.models.upscaler import TiledUpscaler
from dcvsr.tiling.chunks import chunks
from dcvsr.tiling.grid import Tile

FLOAT32, FLOAT64 = 4, 8
"""Bytes of a value of frames and latents, and of TAP's deviations."""


@dataclass(frozen=True)
class SharedPlan:
    """Work and exchange of several ranks.

    Attributes:
        ranks: their number.
        speedup: of sampling: positions of all tiles over those of the busiest ranks, without the time of the
            exchange.
        encoding, decoding: bytes that all ranks receive.
        steps: the same for each evaluation of the sampler.
    """

    ranks: int
    speedup: float
    encoding: int
    steps: Sequence[int]
    decoding: int

    @property
    def bytes(self) -> int:
        """Bytes of all stages."""
        return self.encoding + sum(self.steps) + self.decoding

    def __str__(self) -> str:
        least, most = (f"{steps / 1e6:.3g}" for steps in (min(self.steps), max(self.steps)))
        step = least if least == most else f"{least} to {most}"
        return (
            f"{self.ranks} ranks: sampling is {self.speedup:.2f} times as fast by its work; they receive "
            f"{step} MB a step, {self.encoding / 1e6:.3g} to encode and {self.decoding / 1e6:.3g} to decode"
        )


class SharedWork:
    """Counts what the ranks will do and receive, without running it.

    Args:
        upscaler: model and settings.
        ranks: number of ranks.
        save_every: windows between two saves, at which the leader receives what TAP hands on.
    """

    def __init__(self, upscaler: TiledUpscaler, ranks: int, save_every: int) -> None:
        self.upscaler, self.ranks, self.save_every = upscaler, ranks, save_every
        self._cost = PlannedCost(upscaler)

    def plan(self, sizes: Sequence[tuple[int, int, int]]) -> SharedPlan:
        """Plan LR videos with these numbers of frames, heights and widths."""
        evaluations = range(len(self.upscaler.sampler.evaluations))
        steps = [[self._evaluation(size, number) for size in sizes] for number in evaluations]
        work, busiest = (sum(each[column] for step in steps for each in step) for column in (0, 1))
        return SharedPlan(
            self.ranks,
            work / busiest,
            sum(map(self._encoding, sizes)),
            [sum(received for *_, received in step) for step in steps],
            sum(map(self._decoding, sizes)),
        )

    def _evaluation(self, size: tuple[int, int, int], number: int) -> tuple[int, int, int]:
        """Return positions of all tiles, those of the busiest ranks, and bytes of one evaluation."""
        up, frame = self.upscaler, self._latent(size)
        step, sigma = up.sampler.evaluations[number]
        round = up.propagation.round(step, up.sampler.steps)
        own = isinstance(up.propagation, Alternating) and up.propagation.branches == "own"
        branches = up.guidance.evaluations(sigma) if own else 1
        order = visits(up.windows(*size, step), round)
        done, busiest, received, earlier = 0, 0, 0, list[int]()
        while done < len(order):
            begun, at_once = done, together(order, done, round, self.ranks)
            done += len(at_once)
            if len(at_once) > 1:
                busiest += max(positions(visit.tiles) for visit in at_once)
                received += sum(3 * len(visit.frames) * frame for visit in at_once[1:])  # x, l, sum of tiles
                continue
            (visit,) = at_once
            groups = grouped(visit.tiles, up.batch)
            shares: list[list[Tile]] = [[] for _ in range(self.ranks)]
            for rank, group in zip(owners(groups, self.ranks), groups, strict=True):
                shares[rank] += group.values()
            busiest += max(map(positions, shares))
            others = [tile for share in shares[1:] for tile in share]
            received += (self.ranks - 1) * 2 * len(visit.frames) * frame  # x and l
            received += FLOAT32 * up.latents.autoencoder.channels * positions(others)  # D
            received += branches * (self.ranks - 1) * self._given(round.scheme, visit)
            earlier = [*([] if visit.is_first else earlier), len(visit.frames)]
            if done // self.save_every > begun // self.save_every and done < len(order):
                received += branches * self._carried(round.scheme, others, earlier)
        return sum(positions(visit.tiles) for visit in order), busiest, received

    def _given(self, scheme: str, visit: Visit) -> int:
        """Return the bytes of keys and values that the tiles of a window give to each other in SAP."""
        propagation, tiles = self.upscaler.propagation, visit.tiles
        if scheme not in ("sap", "joint") or len(tiles) == 1:
            return 0
        assert isinstance(propagation, Alternating)
        assert propagation.sap
        stride, found = propagation.sap.stride(len(tiles)), 0
        for tile in tiles:
            for values, halvings in self._cost.propagated(tile.shape):
                rows, columns = halved(tile.shape[1:], halvings)
                found += values // (rows * columns) * -(-rows // stride) * -(-columns // stride)
        return 2 * self.upscaler.precision.itemsize * found

    def _carried(self, scheme: str, tiles: Sequence[Tile], earlier: Sequence[int]) -> int:
        """Return the bytes of keys, values and deviations that tiles hand to the next window in TAP."""
        if scheme not in ("tap", "joint"):
            return 0
        propagation = self.upscaler.propagation
        assert isinstance(propagation, Alternating)
        assert propagation.tap
        *before, newest = (min(propagation.tap.frames, frames) for frames in earlier)
        handed, found = newest + min(propagation.tap.anchors, sum(before)), 0
        for tile in tiles:
            for values, _ in self._cost.propagated(tile.shape):
                found += 2 * self.upscaler.precision.itemsize * values // tile.shape[0] + FLOAT64
        return handed * found

    def _encoding(self, size: tuple[int, int, int]) -> int:
        """Return the bytes of LR frames, their latents and noise, and embeddings."""
        up = self.upscaler
        frames, _, _ = up.canvas(*self._hr(size))
        remote = frames - -(-frames // self.ranks)
        tiles = [tile for step in range(up.sampler.steps) for w in up.windows(*size, step) for tile in w]
        canvas = frames, max(tile.rows.stop for tile in tiles), max(tile.columns.stop for tile in tiles)
        shown = {picture.box for tile in tiles for picture in pictures(tile, up.image_frames, canvas)}
        embeddings = (self.ranks - 1) * len(shown) * FLOAT32 * up.image_encoder.size
        return remote * (FLOAT32 * 3 * size[1] * size[2] + 2 * self._latent(size)) + embeddings

    def _decoding(self, size: tuple[int, int, int]) -> int:
        """Return the bytes of latents and decoded frames."""
        coder = self.upscaler.latents.autoencoder
        _, height, width = self.upscaler.canvas(*self._hr(size))
        parts = chunks(size[0], coder.chunk, coder.overlap)
        frames = sum(part.stop - part.start for n, part in enumerate(parts) if n % self.ranks)
        return frames * (2 * self._latent(size) + FLOAT32 * 3 * height * width)

    def _hr(self, size: tuple[int, int, int]) -> tuple[int, int, int]:
        frames, height, width = size
        return frames, self.upscaler.factor * height, self.upscaler.factor * width

    def _latent(self, size: tuple[int, int, int]) -> int:
        """Return the bytes of a frame of the latent canvas."""
        coder = self.upscaler.latents.autoencoder
        _, height, width = self.upscaler.canvas(*self._hr(size))
        return FLOAT32 * coder.channels * (height // coder.factor) * (width // coder.factor)
