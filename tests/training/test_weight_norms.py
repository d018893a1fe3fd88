"""Norms of weights by group."""

import lightning.pytorch as pl
import pytest
import torch
from torch import nn

from dcvsr.training.freeze import FreezeTemporalLayers
from dcvsr.training.weight_norms import WeightNorms, norm


class SpatialAndTemporal(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Linear(3, 4)
        self.temporal_res_block = nn.ModuleDict({"conv": nn.Linear(2, 2)})


class HoldsDenoiser(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.denoiser = SpatialAndTemporal()


def test_groups_share_out_all_weights_by_place_and_by_what_is_frozen() -> None:
    module = HoldsDenoiser()
    norms = WeightNorms(["temporal_res_block"], every=1)
    spatial, temporal = (
        [*module.denoiser.conv.parameters()],
        [*module.denoiser.temporal_res_block.parameters()],
    )
    groups = norms.groups(module.denoiser)
    assert [*groups] == ["trained_spatial", "trained_temporal"]
    assert all(a is b for a, b in zip(groups["trained_temporal"], temporal, strict=True))
    FreezeTemporalLayers(["temporal_res_block"]).freeze(module)
    groups = norms.groups(module.denoiser)
    assert [*groups] == ["trained_spatial", "frozen_temporal"]
    assert all(a is b for a, b in zip(groups["trained_spatial"], spatial, strict=True))


def test_a_norm_is_of_all_entries() -> None:
    tensors = [torch.randn(3, 4, requires_grad=True), torch.randn(5)]
    expected = torch.cat([tensor.detach().flatten().double() for tensor in tensors]).norm()
    assert norm(tensors).item() == pytest.approx(expected.item())
