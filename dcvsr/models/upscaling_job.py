"""One upscaling from LR frames to HR frames, in memory that does not grow with the number of frames.

Axes: video ``f c h w`` in [0, 1]; latent canvas ``f k h w``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dcvsr.attention.observer import Observer
from dcvsr.diffusion.protocols import Advance, Combination
from dcvsr.models.clip_condition import LRClip
from dcvsr.models.clip_stages import CanvasEvaluation, ClipStages, latent_size
from dcvsr.models.colour_correction import corrected
from dcvsr.models.denoiser import Condition
from dcvsr.models.sharing import together
from dcvsr.models.tiled import Visit
from dcvsr.runtime.frame_stores import FramesInMemory, FrameStore
from dcvsr.runtime.ranks import Ranks
from dcvsr.runtime.workspace import Position, Workspace
from dcvsr.tiling.chunks import chunks, crossfaded

if TYPE_CHECKING:
    from dcvsr.models.upscaler import TiledUpscaler


class UpscalingJob:
    """Upscaling of one clip: encodes frame by frame, samples window by window, decodes chunk by chunk.

    With several ranks this is the leader's part: it keeps all stores and gives the other ranks, each an
    `UpscalingHelper`, what they compute.

    Args:
        upscaler: model and settings.
        clip: the LR frames.
        workspace: keeps l, the states x of the sampler and the sums of tiles. A job that was ended begins
            where its workspace was saved last.
        device: device of the model.
        advance: progress callback, in evaluations of single tiles.
        observer: receives the evaluations and the stages.
        save_every: windows between two saves.
        ranks: processes that share the clip.
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
        ranks: Ranks,
    ) -> None:
        self.upscaler, self.clip, self.workspace, self.device = upscaler, clip, workspace, device
        self.advance, self.observer, self.save_every, self.ranks = advance, observer, save_every, ranks
        self.size = latent_size(upscaler, clip)
        shape = upscaler.latents.autoencoder.channels, *self.size[1:]
        self.l = workspace.store("l", shape, self.size[0])
        self.x = [workspace.store(f"x{n}", shape, self.size[0]) for n in range(upscaler.states)]
        self.sums = workspace.store("sums", shape, upscaler.summed_frames(self._lr))
        self.stages = ClipStages(upscaler, clip, self.l, device, ranks, advance, observer)

    @torch.inference_mode()
    def __call__(self) -> Iterator[Tensor]:
        """Yield chunks of HR frames, clamped; a chunk counts as done when the next one is asked for."""
        at, carried = self.workspace.load()
        clip = self.clip
        self.ranks.tell((clip.frames, clip.height, clip.width, clip.start, clip.top, clip.left))
        if at.stage == "encode":
            self.encode(at.done)
            at = Position("sample")
        elif at.stage == "sample" and self.ranks.count > 1:
            self.encode(self.size[0])  # for the embeddings, which all ranks need
        last = len(self.upscaler.sampler.evaluations)
        if at.stage == "sample":
            self.sample(at, carried, last)
            at = Position("decode")
        yield from self.decoded(self.state(last), last, at.done)
        self.ranks.tell(None)

    @torch.inference_mode()
    def estimates(self, step: int, guidances: Sequence[Combination[Condition]]) -> list[Iterator[Tensor]]:
        """Return the decoded estimates of guidances from the state before ``step``; for one rank."""
        self.encode(0)
        number = [each for each, _ in self.upscaler.sampler.evaluations].index(step)
        self.sample(Position("sample"), {}, number)
        found: list[Iterator[Tensor]] = []
        for guidance in guidances:
            D = FramesInMemory()
            with self.stages.sampling():
                merged = self._evaluated(number, guidance)
            for i in range(self.size[0]):
                D.write(i, merged(i)[None])
            found.append(self.decoded(D, 0, 0))
        return found

    @property
    def _lr(self) -> tuple[int, int, int]:
        return self.clip.frames, self.clip.height, self.clip.width

    def state(self, number: int) -> FrameStore:
        """Return the store of the state at an evaluation; its tag is ``number``."""
        return self.x[number % len(self.x)]

    # Encoding

    def encode(self, done: int) -> None:
        """Write l and x_T of the frames from ``done`` on, and embed the pictures of all frames."""
        last, window, ranks = self.size[0], self.upscaler.grid.frames, self.ranks
        for start in range(0, last, ranks.count):
            frames = range(start, min(start + ranks.count, last))
            are_new = frames.stop > done
            if not are_new and not any(i in self.stages.shown for i in frames):
                continue
            self.observer.reached("encoding frame", frames.stop, last)
            ranks.tell(("encode", frames, are_new))
            helpers = list(zip(ranks.others, frames[1:], strict=False))
            for rank, i in helpers:
                ranks.send(self.stages.lr(i), rank)
            if are_new:
                own = self.stages.encoded(start)
                for i, encoded in zip(
                    frames, [own, *(ranks.receive(rank) for rank, _ in helpers)], strict=True
                ):
                    if i >= done:
                        for store, frame in zip((self.l, self.state(0)), encoded, strict=True):
                            store.write(i, frame)
            self.stages.embed(frames)
            if are_new and frames.stop // window > start // window:
                self.workspace.save(Position("encode", 0, frames.stop), {})

    # Sampling

    def sample(self, at: Position, carried: Mapping[str, Tensor], last: int) -> None:
        """Run the evaluations from ``at`` to before ``last``."""
        self._skip(at)
        up, frames = self.upscaler, range(self.size[0])
        for number in range(at.evaluation, last):
            done, carried = (at.done, carried) if number == at.evaluation else (0, {})
            with self.stages.sampling():
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
        evaluation = self.stages.evaluation(number, guidance)
        visits = evaluation.visits
        self.ranks.tell(("evaluate", number, carried or {}))
        evaluation.restore(carried or {})
        while done < len(visits):
            begun, at_once = done, together(visits, done, evaluation.round, self.ranks.count)
            if self.ranks.count == 1 or len(at_once) > 1:
                sums = self._windows(evaluation, number, done, at_once)
            else:
                sums = [self._tiles(evaluation, number, done)]
            for visit, weighted in zip(at_once, sums, strict=True):
                self.sums.write(visit.slot, weighted, number)
            done += len(at_once)
            if done // self.save_every > begun // self.save_every and done < len(visits):
                self.workspace.save(Position("sample", number, done), self._carried(evaluation))
        return lambda i: evaluation.tiled.merged(self.sums, visits, i, number)

    def _windows(
        self, evaluation: CanvasEvaluation, number: int, first: int, visits: Sequence[Visit]
    ) -> list[Tensor]:
        """Evaluate several windows, each on one rank; return the weighted sum of the tiles of each."""
        own, *others = visits
        if others:
            self.ranks.tell(("windows", first))
        for rank, visit in zip(self.ranks.others, others, strict=True):
            self.ranks.send((self._x(number, visit), self.l.read(visit.frames)), rank)
        found = [evaluation.whole(own, self._x(number, own).to(self.device))]
        for rank, visit in zip(self.ranks.others, others, strict=True):
            found.append(self.ranks.receive(rank))
            self.advance(self.stages.work(evaluation, visit, len(visit.tiles)))
        return found

    def _tiles(self, evaluation: CanvasEvaluation, number: int, first: int) -> Tensor:
        """Evaluate one window, its tiles shared among ranks; return the weighted sum of its tiles."""
        visit = evaluation.visits[first]
        x = self._x(number, visit)
        self.ranks.tell(("tiles", first, x, self.l.read(visit.frames)))
        x = x.to(self.device)
        own = evaluation.share(visit, x)
        given = [iter(own), *(iter(self.ranks.receive(rank)) for rank in self.ranks.others)]
        shares = evaluation.shares(visit)
        self.advance(self.stages.work(evaluation, visit, sum(len(group) for rank, group in shares if rank)))
        estimates = [next(given[rank]).to(self.device) for rank, _ in shares]
        return evaluation.tiled.blended(x, [group for _, group in shares], estimates)

    def _x(self, number: int, visit: Visit) -> Tensor:
        return self.state(number).read(visit.frames, number)

    def _carried(self, evaluation: CanvasEvaluation) -> dict[str, Tensor]:
        """Return what all ranks hand from one window to the next."""
        carried = evaluation.round.carried()
        if carried:
            self.ranks.tell(("carried",))
            for rank in self.ranks.others:
                carried |= self.ranks.receive(rank)
        return carried

    def _skip(self, at: Position) -> None:
        """Tell the observer of the evaluations that were finished before."""
        up, evaluations = self.upscaler, self.upscaler.sampler.evaluations
        before = [(step, up.guidance.evaluations(sigma)) for step, sigma in evaluations[: at.evaluation]]
        done = sum(up.evaluations(self._lr, *each) for each in before)
        if at.done:
            evaluation = self.stages.evaluation(at.evaluation, up.guidance)
            visits = evaluation.visits[: at.done]
            done += sum(self.stages.work(evaluation, visit, len(visit.tiles)) for visit in visits)
        self.observer.resumed(done)

    # Decoding

    def decoded(self, y: FrameStore, tag: int, done: int) -> Iterator[Tensor]:
        """Yield the HR frames from ``done`` on."""
        coder, frames = self.upscaler.latents.autoencoder, self.clip.frames
        parts = [part for part in chunks(frames, coder.chunk, coder.overlap) if part.stop > done]
        at = parts[0].start if parts else frames
        for part in crossfaded(zip(parts, self._decoded_parts(parts, y, tag), strict=True)):
            start, at = at, at + part.shape[1]
            if at > done:
                yield self._finished(part[0, max(done - start, 0) :], max(start, done))
                self.workspace.save(Position("decode", 0, at), {})
                self.observer.reached("decoding frame", at, frames)

    def _decoded_parts(self, parts: Sequence[slice], y: FrameStore, tag: int) -> Iterator[Tensor]:
        """Decode chunks, the n-th one on rank n modulo their number, and yield them in order."""
        ranks = self.ranks

        def latents(part: slice) -> tuple[Tensor, Tensor]:
            frames = range(part.start, part.stop)
            return y.read(frames, tag), self.l.read(frames)

        ranks.tell(("decode", len(parts)))
        for rank, part in zip(ranks.others, parts[1:], strict=False):
            ranks.send(latents(part), rank)
        for number, part in enumerate(parts):
            rank = number % ranks.count
            if rank == 0:
                yield self.stages.decoded(*latents(part))
                continue
            decoded = ranks.receive(rank)
            if number + ranks.count < len(parts):
                ranks.send(latents(parts[number + ranks.count]), rank)
            yield decoded.to(self.device)

    def _finished(self, hr: Tensor, start: int) -> Tensor:
        """Return HR frames without padding, with colours corrected to I^up."""
        up, height, width = self.upscaler, self.clip.height, self.clip.width
        hr = hr[..., : up.factor * height, : up.factor * width]
        if up.colour != "none":
            shown = [self.stages.condition.frame(i).up[0] for i in range(start, start + len(hr))]
            hr = corrected(hr, torch.cat(shown)[..., : hr.shape[-2], : hr.shape[-1]], up.colour)
        return hr.clamp(0, 1)
