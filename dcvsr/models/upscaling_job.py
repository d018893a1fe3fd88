"""One upscaling from LR frames to HR frames, in memory that does not grow with the number of frames.

Axes: video ``f c h w`` in [0, 1]; latent canvas ``f k h w``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dcvsr.attention.observer import Observer
from dcvsr.diffusion.protocols import Advance, Combination, ignored
from dcvsr.models.clip_condition import ClipCondition, LRClip
from dcvsr.models.colour_correction import corrected
from dcvsr.models.conditioning import pictures
from dcvsr.models.denoiser import Condition
from dcvsr.models.tiled import TiledDenoiser
from dcvsr.runtime.frame_stores import FramesInMemory, FrameStore
from dcvsr.runtime.workspace import Position, Workspace
from dcvsr.tiling.chunks import chunks, crossfaded
from dcvsr.tiling.grid import Tile

if TYPE_CHECKING:
    from dcvsr.models.upscaler import TiledUpscaler


class UpscalingJob:
    """Upscaling of one clip: encodes frame by frame, samples window by window, decodes chunk by chunk.

    Args:
        upscaler: model and settings.
        clip: the LR frames.
        workspace: keeps l, the states x of the sampler and the sums of tiles. A job that was ended begins
            where its workspace was saved last.
        device: device of the model.
        advance: progress callback, in evaluations of single tiles.
        observer: receives the evaluations and the stages.
        save_every: windows between two saves.
    """

    def __init__(
        self,
        upscaler: TiledUpscaler,
        clip: LRClip,
        workspace: Workspace,
        device: torch.device,
        advance: Advance,
        observer: Observer,
        save_every: int,
    ) -> None:
        self.upscaler, self.clip, self.workspace, self.device = upscaler, clip, workspace, device
        self.advance, self.observer, self.save_every = advance, observer, save_every
        coder = upscaler.latents.autoencoder
        frames, height, width = upscaler.canvas(*self._hr)
        self.size = frames, height // coder.factor, width // coder.factor
        shape = coder.channels, *self.size[1:]
        self.l = workspace.store("l", shape, frames)
        self.x = [workspace.store(f"x{n}", shape, frames) for n in range(upscaler.states)]
        self.sums = workspace.store("sums", shape, upscaler.summed_frames(self._lr))
        self.condition = ClipCondition(upscaler, clip, self.l, self.size, device)

    @torch.inference_mode()
    def __call__(self) -> Iterator[Tensor]:
        """Yield chunks of HR frames, clamped; a chunk counts as done when the next one is asked for."""
        at, carried = self.workspace.load()
        if at.stage == "encode":
            self.encode(at.done)
            at = Position("sample")
        last = len(self.upscaler.sampler.evaluations)
        if at.stage == "sample":
            self.sample(at, carried, last)
            at = Position("decode")
        yield from self.decoded(self.state(last), last, at.done)

    @torch.inference_mode()
    def estimates(self, step: int, guidances: Sequence[Combination[Condition]]) -> list[Iterator[Tensor]]:
        """Return the decoded estimates of guidances from the state before ``step``."""
        self.encode(0)
        number = [each for each, _ in self.upscaler.sampler.evaluations].index(step)
        self.sample(Position("sample"), {}, number)
        found: list[Iterator[Tensor]] = []
        for guidance in guidances:
            D = FramesInMemory()
            with self._sampling():
                merged = self._evaluated(number, guidance)
            for i in range(self.size[0]):
                D.write(i, merged(i)[None])
            found.append(self.decoded(D, 0, 0))
        return found

    @property
    def _lr(self) -> tuple[int, int, int]:
        return self.clip.frames, self.clip.height, self.clip.width

    @property
    def _hr(self) -> tuple[int, int, int]:
        factor = self.upscaler.factor
        return self.clip.frames, factor * self.clip.height, factor * self.clip.width

    def state(self, number: int) -> FrameStore:
        """Return the store of the state at an evaluation; its tag is ``number``."""
        return self.x[number % len(self.x)]

    # Encoding

    def encode(self, done: int) -> None:
        """Write l and x_T of the frames from ``done`` on."""
        up = self.upscaler
        shown = self._pictures_by_frame()
        for i in range(done, self.size[0]):
            self.observer.reached("encoding frame", i + 1, self.size[0])
            frame = self.condition.frame(i)
            with torch.autocast(self.device.type, enabled=False):
                self.l.write(i, frame.latent[0])
                x_T = up.sampler.initial(frame.x_T(up.seed, self.condition.place(i)))
            self.state(0).write(i, x_T[None])
            for picture in shown[i]:
                self.condition.embedding(picture)
            if (i + 1) % up.grid.frames == 0:
                self.workspace.save(Position("encode", 0, i + 1), {})

    def _pictures_by_frame(self) -> Mapping[int, Sequence[Tile]]:
        """Return the pictures of all tiles by their frames."""
        found: dict[int, list[Tile]] = defaultdict(list)
        up = self.upscaler
        for step in range(up.sampler.steps):
            for tile in (tile for window in up.windows(*self._lr, step) for tile in window):
                for picture in pictures(tile, up.image_frames, self.size):
                    found[picture.frames.start].append(picture)
        return found

    # Sampling

    def sample(self, at: Position, carried: Mapping[str, Tensor], last: int) -> None:
        """Run the evaluations from ``at`` to before ``last``."""
        self._skip(at)
        up, frames = self.upscaler, range(self.size[0])
        for number in range(at.evaluation, last):
            done, carried = (at.done, carried) if number == at.evaluation else (0, {})
            with self._sampling():
                merged = self._evaluated(number, up.guidance, done, carried)
            # Euler's next state takes the store of the one before, which only Heun reads.
            earlier = max(number - 1, 0) if up.sampler.solver == "heun" else number
            for i in frames:
                x, before = (self.state(n).read(range(i, i + 1), n) for n in (number, earlier))
                after = up.sampler.update(number, x, merged(i)[None], before)
                self.state(number + 1).write(i, after, number + 1)
            self.workspace.save(Position("sample", number + 1), {})

    def _evaluated(
        self,
        number: int,
        guidance: Combination[Condition],
        done: int = 0,
        carried: Mapping[str, Tensor] | None = None,
    ) -> Callable[[int], Tensor]:
        """Evaluate the windows from ``done`` on; return D as a function of the frame, ``k h w``."""
        step, sigma = self.upscaler.sampler.evaluations[number]
        tiled = self._tiled(guidance)
        round, visits = tiled.round(step), tiled.visits(step)
        round.restore({name: tensor.to(self.device) for name, tensor in (carried or {}).items()})
        for i, visit in enumerate(visits[done:], done + 1):
            x = self.state(number).read(visit.frames, number).to(self.device)
            self.sums.write(visit.slot, tiled.weighted(x, visit, round, sigma, step), number)
            if i % self.save_every == 0 and i < len(visits):
                self.workspace.save(Position("sample", number, i), round.carried())
        return lambda i: tiled.merged(self.sums, visits, i, number)

    @contextmanager
    def _sampling(self) -> Iterator[None]:
        """Enter the network's precision and its propagated layers."""
        kind, dtype = self.device.type, self.upscaler.precision
        with (
            torch.autocast(kind, dtype, enabled=dtype != torch.float32),
            self.upscaler.denoiser.propagated(),
        ):
            yield

    def _tiled(self, guidance: Combination[Condition]) -> TiledDenoiser:
        up = self.upscaler
        return TiledDenoiser(
            up.denoiser,
            guidance,
            up.propagation,
            partial(up.grid.windows, *self.size),
            self.condition,
            up.blend,
            up.blend_time,
            up.sampler.steps,
            up.batch,
            self.advance,
            [] if self.advance is ignored else up.shares,
            self.observer,
        )

    def _skip(self, at: Position) -> None:
        """Tell the observer of the evaluations that were finished before."""
        up, evaluations = self.upscaler, self.upscaler.sampler.evaluations
        before = [(step, up.guidance.evaluations(sigma)) for step, sigma in evaluations[: at.evaluation]]
        done = sum(up.evaluations(self._lr, *each) for each in before)
        if at.done:
            step, sigma = evaluations[at.evaluation]
            tiled, branches = self._tiled(up.guidance), range(up.guidance.evaluations(sigma))
            counts = [len(visit.tiles) for visit in tiled.visits(step)[: at.done]]
            round = tiled.round(step)
            done += sum(count * round.evaluations(branch, count) for count in counts for branch in branches)
        self.observer.resumed(done)

    # Decoding

    def decoded(self, y: FrameStore, tag: int, done: int) -> Iterator[Tensor]:
        """Yield the HR frames from ``done`` on."""
        coder, frames = self.upscaler.latents.autoencoder, self.clip.frames
        parts = [part for part in chunks(frames, coder.chunk, coder.overlap) if part.stop > done]
        at = parts[0].start if parts else frames
        for part in crossfaded((part, self._decoded_part(part, y, tag)) for part in parts):
            start, at = at, at + part.shape[1]
            if at > done:
                yield self._finished(part[0, max(done - start, 0) :], max(start, done))
                self.workspace.save(Position("decode", 0, at), {})
                self.observer.reached("decoding frame", at, frames)

    def _decoded_part(self, part: slice, y: FrameStore, tag: int) -> Tensor:
        frames = range(part.start, part.stop)
        latents = (store.read(frames, tag).to(self.device) for store, tag in ((y, tag), (self.l, 0)))
        with torch.autocast(self.device.type, enabled=False):
            return self.upscaler.latents.decode(*(latent[None] for latent in latents))

    def _finished(self, hr: Tensor, start: int) -> Tensor:
        """Return HR frames without padding, with colours corrected to I^up."""
        colour, (_, height, width) = self.upscaler.colour, self._hr
        hr = hr[..., :height, :width]
        if colour != "none":
            up = torch.cat([self.condition.frame(i).up[0] for i in range(start, start + len(hr))])
            hr = corrected(hr, up[..., :height, :width], colour)
        return hr.clamp(0, 1)
