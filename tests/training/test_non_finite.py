"""Steps that are not finite are skipped, and what would make them so is refused; see also test_module."""

import sys
from functools import partial
from itertools import count
from math import nan
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from dcvsr.runtime.device import computes_bfloat16
from dcvsr.runtime.errors import UserError
from dcvsr.training.module import VSRModule
from dcvsr.training.non_finite import NonFinite, refuse_two_frames
from tests.conftest import TINY
from tests.training.forked import run_ranks
from tests.training.test_exact_resume import here

CPU = torch.device("cpu")


def test_two_frames_in_bfloat16_on_a_cpu_are_refused_and_nothing_else():
    with pytest.raises(UserError, match=r"data.frames=2 with trainer.precision=bf16-mixed on a CPU"):
        refuse_two_frames("bf16-mixed", CPU, 2)
    for precision, device, frames in (
        *(("bf16-mixed", CPU, 1), ("bf16-mixed", CPU, 3)),
        *(("32-true", CPU, 2), ("bf16-mixed", torch.device("cuda"), 2)),
    ):
        refuse_two_frames(precision, device, frames)


def is_right(frames: int, seed: int) -> bool:
    """Tell whether the weight gradient of a temporal convolution in bfloat16 is that in float32."""
    generator = torch.Generator().manual_seed(seed)
    shapes = (1, 32, frames, 8, 8), (32, 32, 3, 1, 1), (1, 32, frames, 8, 8)
    x, weight, out = (torch.randn(shape, generator=generator) for shape in shapes)
    gradients = []
    for dtype in (torch.float32, torch.bfloat16):
        w = weight.to(dtype).clone().requires_grad_()
        y = F.conv3d(x.to(dtype), w, padding=(1, 0, 0))
        gradients += torch.autograd.grad(y, w, out.to(dtype))
    expected, found = gradients
    return bool((found.float() - expected).norm() < 0.05 * expected.norm())


@pytest.mark.skipif(not computes_bfloat16(CPU), reason="this CPU has no instructions for bfloat16")
@pytest.mark.parametrize("frames", [1, 2, 3, 4])
def test_the_fault_of_onednn_is_that_of_two_frames(frames):
    """A failure for 2 frames says that oneDNN is mended; remove `refuse_two_frames` then."""
    assert all(is_right(frames, seed) for seed in range(30)) == (frames != 2)


def test_another_choice_of_on_nan_is_refused():
    with pytest.raises(ValueError, match="on_nan: 'ignore' is not a choice; choose stop or skip"):
        NonFinite("ignore")  # type: ignore[arg-type]


def nan_in_the_second_process() -> None:
    """Make the loss of the second process NaN in its third batch."""
    loss, batches = VSRModule.batch_loss, count(1)

    def planted(module: VSRModule, *args: Any) -> dict[str, torch.Tensor]:
        found = loss(module, *args)
        is_third = next(batches) == 3
        return {**found, "loss": found["loss"] * nan} if is_third and module.global_rank == 1 else found

    VSRModule.batch_loss = planted  # type: ignore[method-assign]


@pytest.mark.timeout(600)
def test_a_loss_that_is_not_finite_in_one_process_stops_all_with_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    torch.set_num_threads(1)  # OpenMP's threads do not outlive a fork
    keys = (*TINY, "metrics=none", "~loggers.wandb", "~callbacks.progress", "trainer.max_steps=3", "batch=4")
    both = ("trainer=ddp", "devices=2", "trainer.accelerator=cpu", "hydra.run.dir=run")
    train = partial(here, tmp_path, ("+experiment=stage1", *keys, *both), nan_in_the_second_process)
    run_ranks(lambda: sys.exit(train()), codes=(2, 0))
    [line] = [line for line in capfd.readouterr().err.splitlines() if line.startswith("dcvsr: ")]
    assert line.startswith("dcvsr: the loss is nan at step 1; the last good checkpoint is kept")
