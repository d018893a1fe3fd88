"""The precision of the network follows the device."""

import pytest
import torch

from dcvsr.runtime.device import precision, require_memory, settled_precision, trainer_precision
from dcvsr.runtime.errors import UserError

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("capabilities", "network", "trainer"),
    [
        ({"avx2": True, "avx512_bf16": False, "amx_bf16": False}, "float32", "32-true"),
        ({"avx512_f": True}, "float32", "32-true"),
        ({"avx512_bf16": True, "amx_bf16": False}, "bfloat16", "bf16-mixed"),
        ({"avx512_bf16": False, "amx_bf16": True}, "bfloat16", "bf16-mixed"),
    ],
)
def test_auto_is_bfloat16_only_where_the_cpu_has_instructions_for_it(
    monkeypatch, capabilities, network, trainer
):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert settled_precision("auto", CPU) == network
    assert trainer_precision("auto", CPU) == trainer
    assert precision("auto") is getattr(torch, network)


def test_a_precision_that_is_named_is_kept_whatever_the_device(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    assert settled_precision("bfloat16", CPU) == "bfloat16"
    assert trainer_precision("16-mixed", CPU) == "16-mixed"
    assert precision("float16") is torch.float16


@pytest.mark.parametrize(
    ("fixed", "way_out"),
    [
        (0, "upscale them in parts of at most 9 frames"),
        (50, "of at most 4 frames"),
        (95, "not one frame fits"),
    ],
)
def test_the_parts_that_fit_are_named_whatever_does_not_grow_with_them(monkeypatch, fixed, way_out):
    monkeypatch.setattr("dcvsr.runtime.device.free_memory", lambda device: 99)
    with pytest.raises(UserError, match=way_out):
        require_memory(lambda frames: fixed + 11 * frames, 10, CPU)


def test_a_video_that_just_fits_is_upscaled(monkeypatch):
    monkeypatch.setattr("dcvsr.runtime.device.free_memory", lambda device: 99)
    require_memory(lambda frames: 11 * frames, 9, CPU)
