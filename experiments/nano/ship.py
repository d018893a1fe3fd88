"""Put a run's weights into the package: ``python experiments/nano/ship.py RUN/checkpoints/last.ckpt``.

The averaged weights, in half precision, become dcvsr/models/nano.safetensors; its card is nano.md beside it.
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from omegaconf import OmegaConf
from safetensors.torch import save
from torch import Tensor

from dcvsr.models.checkpoint import SHIPPED, Checkpoint, open_checkpoint
from dcvsr.runtime.cli import FILE_KEYS
from dcvsr.runtime.errors import UserError
from dcvsr.runtime.files import file_sha256, write_whole

LARGEST = 25 * 2**20
"""Bytes that a model may add to the package."""

PLACES = {*FILE_KEYS, "hydra.run.dir"}
"""Keys that name places of a machine: no part of a recipe."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ckpt", type=Path, help="a run's checkpoint")
    parser.add_argument("--output", type=Path, default=SHIPPED / "nano.safetensors")
    asked = parser.parse_args()
    try:
        found = open_checkpoint(asked.ckpt, "nano")
        half = {name: _half(name, tensor) for name, tensor in found.weights.items()}
        content = save(half, metadata=_about(found))
        if len(content) > LARGEST:
            raise UserError(
                f"{asked.ckpt} takes {len(content)} bytes, more than {LARGEST}; ship a smaller model"
            )
        write_whole(asked.output, content)
    except UserError as error:
        print(f"ship: {error}", file=sys.stderr)
        sys.exit(2)
    count, (error, name) = sum(map(Tensor.numel, half.values())), _largest_change(found.weights, half)
    print(f"{found}\n{asked.output}: {count / 1e6:.2f} M weights, {len(content) / 2**20:.1f} MiB")
    print(f"float32 to float16 changes a weight by at most {error:.2g} of its tensor's largest ({name})")


def _half(name: str, tensor: Tensor) -> Tensor:
    half = tensor.half().contiguous()
    if not half.isfinite().all():
        raise UserError(f"{name} does not fit into half precision: its largest is {tensor.abs().max():.3g}")
    return half


def _about(found: Checkpoint) -> dict[str, str]:
    """Return the metadata of the file."""
    stage3 = {} if found.sampler is None else {"sampler": asdict(found.sampler)}
    if found.losses:
        stage3["losses"] = dict.fromkeys(found.losses, 1)
    return {name: json.dumps(value) for name, value in stage3.items()} | {
        "scale": found.scale,
        "stage": str(found.stage),
        "step": str(found.step),
        "recipe": _recipe(found.path),
        "source_sha256": file_sha256(found.path),
    }


def _recipe(ckpt: Path) -> str:
    """The command that trained it, less what names places."""
    overrides = ckpt.resolve().parents[1] / ".hydra" / "overrides.yaml"
    if not overrides.is_file():
        raise UserError(f"{overrides} is missing: name a checkpoint where its run left it")
    given = [str(override) for override in OmegaConf.load(overrides)]
    kept = [override for override in given if override.partition("=")[0].lstrip("+") not in PLACES]
    return " ".join(["python -m dcvsr.train", *kept])


def _largest_change(before: dict[str, Tensor], after: dict[str, Tensor]) -> tuple[float, str]:
    """Relative to the largest weight of its tensor; and that tensor."""
    changes = {
        name: (weights - after[name].float()).abs().max() / weights.abs().max()
        for name, weights in before.items()
    }
    return max((float(change.nan_to_num()), name) for name, change in changes.items())


if __name__ == "__main__":
    main()
