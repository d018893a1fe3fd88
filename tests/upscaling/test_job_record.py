"""The record of a job holds all that its frames depend on, and nothing else."""

import json
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from dcvsr.runtime.frame_stores import FramesInMemory
from dcvsr.upscaling.reading import ReadVideo
from dcvsr.upscaling.target_size import TargetSize
from dcvsr.upscaling.video_job import job_record
from dcvsr.video.memory import Metadata

VIDEO = ReadVideo(
    *(FramesInMemory(), (8, 16, 16), "hash of the frames", [range(8)], Metadata(Fraction(25))),
    TargetSize.fourfold(16, 16),
)


@pytest.fixture
def recorded(composed):
    def record(line: str, weights: str = "hash of the weights"):
        cfg = OmegaConf.create(json.loads(*composed(f"upscale input=a.mp4 output=b.mp4 {line}")))
        upscaler: Any = SimpleNamespace(origin=SimpleNamespace(record=lambda: {"sha256": weights}))
        return job_record(cfg, VIDEO, upscaler, torch.device("cpu"))

    return record


def test_names_of_files_and_ways_of_working_are_not_in_a_jobs_record(recorded):
    """The content of weights is, under whatever name."""
    elsewhere = "ckpt=copy.ckpt runs=elsewhere cache=folder input=c.mp4 output=d.mkv crf=1 device=cpu"
    engine = "engine.keep=true engine.save_every=9 engine.cuts=none debug.attention=true"
    one = recorded("ckpt=a.ckpt")
    assert recorded(f"{elsewhere} {engine}") == one
    assert recorded("ckpt=a.ckpt", "hash of other weights") != one


def test_settings_of_the_sampling_are_in_a_jobs_record(recorded):
    settings = "seed=1 sampler.steps=7 tile.overlap=0.4 guidance=cfg propagation.sap.rate=0.5 start=3"
    one, other = recorded(""), recorded(settings)
    differing = {key for key in one if one[key] != other[key]}
    assert {"seed", "sampler", "tile", "guidance", "propagation", "start"} <= differing
