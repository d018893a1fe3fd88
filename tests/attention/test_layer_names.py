"""The layer picker on true configurations, without weights."""

import pytest
import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.models.unets.unet_3d_condition import UNet3DConditionModel
from diffusers.models.unets.unet_motion_model import UNetMotionModel
from hypothesis import given
from hypothesis import strategies as st

from dcvsr.attention.layer_names import mid_layer, propagated_layers, resolution, spatial_self_attentions
from dcvsr.models.svd import new_unet

PAPER = [
    "down_blocks.0.attentions.0.transformer_blocks.0.attn1",
    "down_blocks.0.attentions.1.transformer_blocks.0.attn1",
    "up_blocks.3.attentions.1.transformer_blocks.0.attn1",
    "up_blocks.3.attentions.2.transformer_blocks.0.attn1",
]
MID = "mid_block.attentions.0.transformer_blocks.0.attn1"


def _svd():
    return new_unet(4, [320, 640, 1280, 1280], [5, 10, 20, 20], layers=2, embedding=1024, frames=14)


def _stable_diffusion():
    """1.x."""
    return UNet2DConditionModel(sample_size=64, cross_attention_dim=768, attention_head_dim=8)


@pytest.mark.parametrize("unet", [_svd, _stable_diffusion, UNet3DConditionModel, UNetMotionModel])
def test_the_first_two_and_the_last_two_are_the_paper_s(unet):
    with torch.device("meta"):
        unet = unet()
    assert propagated_layers(unet) == PAPER
    assert mid_layer(unet) == MID
    assert len(spatial_self_attentions(unet)) == 16


def test_they_are_listed_as_they_are_run():
    unet = new_unet(4, [32, 32, 64], [1, 1, 2], layers=1, embedding=8, frames=2)
    run = []
    for name, module in unet.named_modules():
        if name in spatial_self_attentions(unet):
            module.register_forward_pre_hook(lambda *_, name=name: run.append(name))
    unet(torch.zeros(1, 2, 8, 8, 8), 0, torch.zeros(1, 1, 8), torch.zeros(1, 3))
    assert run == spatial_self_attentions(unet)


def test_a_u_net_of_fewer_than_four_is_refused():
    unet = UNet2DConditionModel(
        block_out_channels=(32,),
        down_block_types=("CrossAttnDownBlock2D",),
        up_block_types=("UpBlock2D",),
        layers_per_block=2,
        cross_attention_dim=8,
        attention_head_dim=8,
    )
    with pytest.raises(ValueError, match="has 3"):
        propagated_layers(unet)


def test_a_mid_block_without_attention_is_refused():
    with torch.device("meta"):
        unet = UNet2DConditionModel(mid_block_type=None)
    with pytest.raises(ValueError, match="mid block"):
        mid_layer(unet)


@given(height=st.integers(1, 200), width=st.integers(1, 200), halvings=st.integers(0, 4))
def test_a_layer_s_rows_and_columns_are_those_of_the_stride_two_convolutions(height, width, halvings):
    rows, columns = height, width
    for _ in range(halvings):
        rows, columns = (rows + 1) // 2, (columns + 1) // 2
    assert resolution(rows * columns, height, width) == (rows, columns)


@pytest.mark.parametrize("tokens", [63, 65, 17, 3])
def test_positions_that_match_no_number_of_halvings_are_refused(tokens):
    with pytest.raises(ValueError, match=f"{tokens} positions.*8x8"):
        resolution(tokens, 8, 8)
