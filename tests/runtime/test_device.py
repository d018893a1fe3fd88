"""The precision of the network follows the device."""

import pytest
import torch

from dcvsr.runtime.device import precision, settled_precision, trainer_precision

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
