"""Videos of validation: files and wandb."""

from fractions import Fraction
from types import SimpleNamespace
from unittest.mock import Mock

import torch
from lightning.pytorch.loggers import CSVLogger, WandbLogger

from dcvsr.imaging import upsample
from dcvsr.training.side_by_side import SideBySide


def test_lr_bicubic_restored_and_hr_stand_side_by_side_and_go_to_wandb(tmp_path):
    lr, restored, hr = torch.rand(2, 3, 4, 6), torch.rand(2, 3, 16, 24), torch.rand(2, 3, 16, 24)
    write, wandb, other = Mock(), Mock(spec=WandbLogger), Mock(spec=CSVLogger)
    trainer = SimpleNamespace(global_step=70, loggers=[other, wandb])
    outputs = {"lr": lr, "restored": restored, "hr": hr}
    shown = SideBySide(str(tmp_path / "videos"), 8, write)
    shown.on_validation_batch_end(trainer, None, outputs, {"name": "slide"}, 0)  # type: ignore[arg-type]
    path = tmp_path / "videos/slide-step000070.mp4"
    [(where, video, rate)] = [call.args for call in write.call_args_list]
    assert (where, rate) == (path, Fraction(8))
    assert path.parent.is_dir()
    pixels = lr.repeat_interleave(4, -1).repeat_interleave(4, -2)
    for part, expected in zip(video.chunk(4, dim=-1), (pixels, upsample(lr), restored, hr), strict=True):
        assert torch.equal(part, expected)
    wandb.log_video.assert_called_once()
    assert wandb.log_video.call_args.args == ("val/slide", [str(path)])
