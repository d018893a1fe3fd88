"""DOVER's technical backbone: Swin-T in three dimensions (Liu et al. 2022) on patches of 2x4x4 pixels.

Its first three stages have FAST-VQA's gated position bias (Wu et al. 2022). Parameters have their official
names. Dropout and stochastic depth, inactive at inference, are omitted.

Axes: b clips; t h w tokens in time and space; c channels; n windows of a clip; p, q tokens of a window;
k heads.
"""

from collections import OrderedDict
from math import prod

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from dcvsr.metrics.swin3d_windows import SHIFT, STILL, WINDOW, Axes, Windows, padding, relative_position_index

PATCH = (2, 4, 4)
WIDTHS, DEPTHS, HEADS = (96, 192, 384, 768), (2, 2, 6, 2), (3, 6, 12, 24)


class Swin3D(nn.Module):
    """Feature extractor of clips. Sizes that do not divide are padded with zeros."""

    def __init__(self) -> None:
        super().__init__()
        attentions = [GatedWindowAttention] * 3 + [WindowAttention]
        mergings = [*(PatchMerging(width) for width in WIDTHS[:-1]), nn.Identity()]
        self.patch_embed = PatchEmbedding(WIDTHS[0])
        self.layers = nn.Sequential(*map(_stage, WIDTHS, DEPTHS, HEADS, attentions, mergings))
        self.norm = nn.LayerNorm(WIDTHS[-1])

    def forward(self, clips: Tensor) -> Tensor:
        """Compute features: ``b 3 t h w`` -> ``b 768 t/2 h/32 w/32``, rounded up."""
        return rearrange(self.norm(self.layers(self.patch_embed(clips))), "b t h w c -> b c t h w")


class PatchEmbedding(nn.Module):
    """Embedding of pixel patches as tokens."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv3d(3, width, PATCH, PATCH)
        self.norm = nn.LayerNorm(width)

    def forward(self, clips: Tensor) -> Tensor:
        """Embed patches: pixels ``b c t h w`` -> tokens ``b t h w c``."""
        x = self.proj(F.pad(clips, padding(clips.shape[2:], PATCH)))
        return self.norm(rearrange(x, "b c t h w -> b t h w c"))


class PatchMerging(nn.Module):
    """Downsampling that merges 2x2 tokens into one of twice the width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * width)
        self.reduction = nn.Linear(4 * width, 2 * width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Merge tokens: ``b t h w c`` -> ``b t h/2 w/2 2c``."""
        x = F.pad(x, (0, 0, *padding(x.shape[1:4], (1, 2, 2))))
        return self.reduction(self.norm(rearrange(x, "b t (h i) (w j) c -> b t h w (j i c)", i=2, j=2)))


class SwinBlock(nn.Module):
    """Residual block: attention within windows, then a perceptron on each token."""

    def __init__(self, width: int, shift: Axes, attention: "WindowAttention") -> None:
        super().__init__()
        self.shift = shift
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = attention
        fc1, fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.mlp = nn.Sequential(OrderedDict(fc1=fc1, act=nn.GELU(), fc2=fc2))

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block: ``b t h w c`` -> ``b t h w c``."""
        windows = Windows.over(x, self.shift)
        x = x + windows.join(self.attn(windows.split(self.norm1(x)), windows))
        return x + self.mlp(self.norm2(x))


class WindowAttention(nn.Module):
    """Self-attention among the tokens of a window, with a learnt bias for each relative position."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.relative_position_bias_table = nn.Parameter(_table(heads))
        self.relative_position_index: Tensor
        self.register_buffer("relative_position_index", relative_position_index())
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: Tensor, windows: Windows) -> Tensor:
        """Attend within each window: ``b n p c`` -> ``b n p c``."""
        qkv = rearrange(self.qkv(tokens), "b n p (three k c) -> three b n k p c", three=3, k=self.heads)
        bias = self.bias(windows) + windows.seam_mask(tokens.device)[:, None]
        # One clip at a time: the fused kernel takes one batch axis, and all clips share the bias.
        x = torch.stack([F.scaled_dot_product_attention(*clip, attn_mask=bias) for clip in qkv.unbind(1)])
        return self.proj(rearrange(x, "b n k p c -> b n p (k c)"))

    def bias(self, windows: Windows) -> Tensor:
        """Return the bias added to the scores before softmax, broadcastable to ``n k p q``."""
        return self._lookup(self.relative_position_bias_table, windows)

    def _lookup(self, table: Tensor, windows: Windows) -> Tensor:
        # A smaller window uses the first rows and columns of the full window's index, as the authors do.
        tokens = prod(windows.window)
        return rearrange(table[self.relative_position_index[:tokens, :tokens]], "p q k -> k p q")


class GatedWindowAttention(WindowAttention):
    """`WindowAttention` with a second bias table, for tokens of the same fragment of the mosaic."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__(width, heads)
        self.fragment_position_bias_table = nn.Parameter(_table(heads))

    def bias(self, windows: Windows) -> Tensor:
        """Return FAST-VQA's gated relative position bias: one table within a fragment, the other across.

        The paper's gate is 0 or 1. The released network was trained with the distance in fragments as its
        gate, which extrapolates beyond neighbours.
        """
        within = self._lookup(self.fragment_position_bias_table, windows)
        across = self._lookup(self.relative_position_bias_table, windows)
        return torch.lerp(within, across, windows.fragment_distance(within.device)[:, None])


def _stage(
    width: int, depth: int, heads: int, attention: type[WindowAttention], merging: nn.Module
) -> nn.Module:
    """Build the blocks of one resolution; every second block shifts its windows by half."""
    shifts = [SHIFT if i % 2 else STILL for i in range(depth)]
    blocks = nn.Sequential(*(SwinBlock(width, shift, attention(width, heads)) for shift in shifts))
    return nn.Sequential(OrderedDict(blocks=blocks, downsample=merging))


def _table(heads: int) -> Tensor:
    t, h, w = (2 * side - 1 for side in WINDOW)
    return torch.zeros(t * h * w, heads)
