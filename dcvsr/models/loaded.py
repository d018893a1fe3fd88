"""Python interface to upscaling: `load`, and the upscaler that it returns.

Importing this module does not import torch.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from omegaconf import DictConfig, OmegaConf

from dcvsr.runtime.arguments import root
from dcvsr.runtime.cli import preflight, prepared
from dcvsr.runtime.composition import composed, own_hydra, refuse_unknown_and_missing, user_errors
from dcvsr.runtime.errors import UserError
from dcvsr.runtime.key_values import refuse_values
from dcvsr.runtime.options import options

if TYPE_CHECKING:
    import torch

    from dcvsr.diffusion.protocols import Upscaler

Dtype = Literal["auto", "float32", "bfloat16", "float16"]
"""Precisions of the network; ``auto`` is bfloat16 where the device computes in it, else float32."""

Progress = Callable[[float, int], object]
"""``(done, total)``, in U-Net evaluations; ``done`` grows in parts of one."""

OF_FILES = {
    "input",
    "output",
    "crf",
    "fps",
    "dry_run",
    "debug",
    "engine",
    "start",
    "frames",
    "seconds",
    "region",
}
"""Keys of the command that concern files; `load` refuses them."""


@dataclass(frozen=True)
class LoadedUpscaler:
    """An upscaler on its device, ready to call.

    Attributes:
        device: device of its weights.
        upscaler: the method, or the baseline that ``overrides`` chose.
        settings: the command's configuration, with its interpolations.
    """

    device: "torch.device"
    upscaler: "Upscaler" = field(repr=False)
    settings: DictConfig = field(repr=False)

    def __call__(
        self, lr: "torch.Tensor", *, progress: Progress | None = None, seed: int | None = None
    ) -> "torch.Tensor":
        """Upscale a video as ``python -m dcvsr.upscale`` does, with the same noise at each call.

        Args:
            lr: frames ``f c h w``, RGB, of any length and size, on any device: uint8, as ``read_video``
                returns them, or floats in [0, 1].
            progress: receives ``(done, total)`` in U-Net evaluations of single tiles: ``(0, total)`` before
                the first, then after each stage of the network. A method without a denoiser counts frames.
                Decoding follows the last call. An exception that ``progress`` raises ends the work at once
                and comes out of this call, and the upscaler can be called again.
            seed: seed of this call, an integer in [0, 2^64); None for the configured one. Methods without
                noise ignore it.

        Returns:
            HR ``f c 4h 4w``, float32 in [0, 1], on the upscaler's device.

        Raises:
            UserError: if an argument is not as described, or HR does not fit into memory.
        """
        from dcvsr.diffusion.protocols import ignored
        from dcvsr.runtime.device import require_memory

        if progress is not None and not callable(progress):
            raise UserError(f"progress must be a function of (done, total), got {progress!r}")
        upscaler = self.upscaler if seed is None else self._seeded(seed)
        lr = _in_unit_range(lr)
        frames, _, height, width = lr.shape
        require_memory(lambda n: upscaler.memory(n, height, width), frames, self.device)
        advance = ignored if progress is None else _counting(progress, upscaler.work(frames, height, width))
        hr = upscaler(lr.to(self.device), advance)
        return hr.clone()  # PyTorch refuses in-place operations on a tensor of inference mode

    def _seeded(self, seed: int) -> "Upscaler":
        """Return the upscaler that the command runs with ``seed``, which TAP's random choices follow too."""
        from hydra.utils import instantiate

        from dcvsr.diffusion.initial_noise import require_seed
        from dcvsr.models.upscaler import TiledUpscaler

        try:
            require_seed(seed)
        except ValueError as error:
            raise UserError(str(error)) from None
        upscaler = self.upscaler.with_seed(int(seed))
        if not isinstance(upscaler, TiledUpscaler):
            return upscaler
        settings = OmegaConf.merge(self.settings, {"seed": int(seed)})
        return replace(upscaler, propagation=instantiate(settings.upscaler.propagation))


def load(
    weights: str | Path = "nano",
    *,
    ckpt: str | Path | None = None,
    device: str = "auto",
    dtype: Dtype = "auto",
    overrides: Sequence[str] = (),
) -> LoadedUpscaler:
    """Load the upscaler that ``python -m dcvsr.upscale`` runs.

    >>> up = dcvsr.load("nano")
    >>> video = dcvsr.read_video("clip.mp4")
    >>> hr = up(video.frames)
    >>> dcvsr.write_video("big.mp4", hr, video)

    Args:
        weights: the scale, ``nano`` or ``svd``; or a checkpoint of ``dcvsr.train``, whose scale is read from
            the file.
        ckpt: the denoiser's weights, in any form that the command's ``ckpt=`` takes; None for its default.
        device: ``auto``, ``cpu`` or ``cuda``.
        dtype: precision of the network, the command's ``precision=``. HR is float32 with each.
        overrides: ``key=value`` as on the command line, such as ``sampler.steps=4``. They take precedence
            over the arguments above.

    Raises:
        UserError: if the weights, the device or an override cannot be had; the message is one line.
    """
    if dtype not in get_args(Dtype):
        raise UserError(f"dtype must be {', '.join(get_args(Dtype)[:-1])} or float16, got {dtype}")
    if isinstance(overrides, str):
        raise UserError(f"overrides must be a list, got {overrides!r}; pass overrides=[{overrides!r}]")
    for override in overrides:
        key = override.partition("=")[0].lstrip("~")
        if root(key) in OF_FILES:
            raise UserError(
                f"load takes no {override}: it reads and writes no file; pass frames to the result"
            )
    choices = [*_choices(weights, ckpt), f"device={device}", f"precision={dtype}"]
    given = [*choices, "input=null", "output=null", *overrides]
    with own_hydra(), user_errors("upscale"):
        arguments = prepared(given)
        cfg = composed("upscale", arguments)
        refuse_unknown_and_missing(cfg, "upscale", arguments)
        refuse_values(cfg, "upscale", prepared([*choices, *overrides]))
        preflight(cfg)
        from dcvsr.models.configured import configured_upscaler

        settings = cfg.copy()  # instantiating replaces interpolations such as ${seed} by values
        upscaler, chosen = configured_upscaler(cfg)
    upscaler.to(chosen)
    return LoadedUpscaler(chosen, upscaler, settings)


def _choices(weights: str | Path, ckpt: str | Path | None) -> list[str]:
    """Return the overrides that choose ``weights`` and ``ckpt``."""
    if str(weights) in options("scale"):
        return [f"scale={weights}"] if ckpt is None else [f"scale={weights}", f"ckpt={ckpt}"]
    scales = " or ".join(options("scale"))
    path = Path(weights).expanduser()
    if not path.is_file():
        raise UserError(
            f"{weights} is not a model: choose {scales}, or name a checkpoint, such as "
            "outputs/train/.../checkpoints/last.ckpt; other weights go into ckpt="
        )
    if ckpt is not None:
        raise UserError(f"{weights} and ckpt={ckpt} are two checkpoints; pass {scales} with ckpt=")
    from dcvsr.models.checkpoint import open_checkpoint

    return [f"scale={open_checkpoint(path).scale}", f"ckpt={path}"]


def _counting(progress: Progress, total: int) -> Callable[[float], object]:
    """Report 0 to ``progress``, and return a callback that reports sums, rounded to thousandths."""
    done = 0.0

    def advance(more: float) -> None:
        nonlocal done
        done += more
        progress(round(done, 3), total)

    progress(0, total)
    return advance


def _in_unit_range(frames: "torch.Tensor") -> "torch.Tensor":
    """Return frames as the command passes them on, float32 in [0, 1].

    Raises:
        UserError: if they are not a video.
    """
    import torch

    from dcvsr.imaging import described, to_unit

    is_video = isinstance(frames, torch.Tensor) and frames.ndim == 4 and frames.shape[1] == 3
    if not is_video or not frames.numel() or not (frames.dtype == torch.uint8 or frames.is_floating_point()):
        raise UserError(
            f"pass frames as uint8, or floats in [0, 1], f c h w with c = 3, got {described(frames)}"
        )
    if frames.dtype == torch.uint8:
        return to_unit(frames.cpu())  # a GPU divides by 255 with another rounding
    if not (frames.min() >= 0 and frames.max() <= 1):
        raise UserError(f"pass frames in [0, 1], got {frames.min():g} to {frames.max():g}; divide by 255")
    return frames.float()
