"""The processors against stock diffusers, and one layer against the paper's formulas in float64."""

from functools import partial

import numpy as np
import pytest
import torch
from diffusers.models.attention_processor import Attention

from dcvsr.attention.layer_names import propagated_layers
from dcvsr.attention.lockstep import side_by_side
from dcvsr.attention.observer import Observer, Place
from dcvsr.attention.processor import Call, PropagatedAttention, calling, propagated
from dcvsr.attention.propagation import SpatialPropagation
from dcvsr.attention.self_attention import identity_attention, self_attention
from dcvsr.models.denoiser import Condition
from tests.attention.making import CHANNELS, EMBEDDING, FRAMES, SIDE, make_denoiser, noise, tap
from tests.comparing import apart


def _estimate(denoiser, batch: int = 2):
    x, l = noise(2, batch, FRAMES, CHANNELS, SIDE, SIDE)
    with torch.inference_mode():
        return denoiser(x, torch.full((batch,), 1.5), Condition(l, noise(batch, 1, EMBEDDING)))


@pytest.mark.parametrize("shape", ["nano", "svd"])
@pytest.mark.parametrize("mixed", [False, True])
def test_installed_but_idle_is_stock_diffusers_bit_for_bit(shape, mixed):
    denoiser = make_denoiser(shape, torch.float32)
    stock = dict(denoiser.unet.attn_processors)
    with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
        plain = _estimate(denoiser)
        with denoiser.propagated():
            ours = sum(isinstance(p, PropagatedAttention) for p in denoiser.unet.attn_processors.values())
            assert ours == (4 if shape == "nano" else 5)  # nano's mid block is one of its four
            assert torch.equal(_estimate(denoiser), plain)
    assert denoiser.unet.attn_processors == stock
    assert all(denoiser.unet.attn_processors[name] is stock[name] for name in stock)


def test_processors_come_back_after_an_error():
    denoiser = make_denoiser("nano")
    stock = dict(denoiser.unet.attn_processors)
    with pytest.raises(KeyboardInterrupt), propagated(denoiser.unet):
        raise KeyboardInterrupt
    assert denoiser.unet.attn_processors == stock


def test_a_call_reaches_the_four_layers_and_the_mid_block_s_alone():
    denoiser, seen = make_denoiser("svd"), []

    def attend(q, k, v):
        seen.append("four")
        return self_attention(q, k, v)

    def mid(q, k, v):
        seen.append("mid")
        return self_attention(q, k, v)

    with denoiser.propagated(), calling(Call(attend=attend, mid=mid)):
        called = _estimate(denoiser)
    assert seen == ["four", "four", "mid", "four", "four"]
    assert torch.equal(called, _estimate(denoiser))
    with denoiser.propagated(), calling(Call(attend=identity_attention)):
        assert apart(_estimate(denoiser), called, 1e-5)
    with denoiser.propagated():
        assert torch.equal(_estimate(denoiser), called)  # what was asked ends with its block


HEADS, DIM = 2, 4
"""Of the one layer below."""


def _attention() -> Attention:
    torch.manual_seed(0)
    attn = Attention(HEADS * DIM, heads=HEADS, dim_head=DIM).requires_grad_(False)
    for project in (attn.to_q, attn.to_k):
        project.weight *= 3
    return attn


def _reference(attn: Attention, queries, keys):
    """Eq. (2) of one frame: tokens ``p c`` attend to tokens ``n c``, in float64."""
    matrices = (attn.to_q.weight, attn.to_k.weight, attn.to_v.weight)
    W_q, W_k, W_v = (w.double().numpy() for w in matrices)
    Q, K, V = queries @ W_q.T, keys @ W_k.T, keys @ W_v.T
    heads = []
    for h in range(HEADS):
        own = slice(h * DIM, (h + 1) * DIM)
        scores = np.exp(Q[:, own] @ K[:, own].T / np.sqrt(DIM))
        heads.append(scores / scores.sum(1, keepdims=True) @ V[:, own])
    out = attn.to_out[0]
    return np.concatenate(heads, axis=1) @ out.weight.double().numpy().T + out.bias.double().numpy()


def _layer(attn, round, x, window, tile, sizes):
    """The layer's output for one tile ``f p c``, within a round of propagation."""
    place = Place(0, 1.0, round.scheme, "forward", window, (tile,), len(sizes), 0, sizes[tile])

    def evaluate(propagate):
        with calling(Call(propagate, place=place)):
            return PropagatedAttention("layer", propagates=True, mid=False)(attn, x)

    return round(evaluate, place, Observer())


@pytest.mark.parametrize("exchange", ["lockstep", "two_pass"])
@pytest.mark.parametrize(("rate", "stride"), [(1, 1), (0.25, 2), (1 / 9, 3), (None, 2)])
@pytest.mark.parametrize("sizes", [[(4, 4)] * 3, [(4, 6), (2, 6), (4, 3), (2, 3)]])
def test_sap_is_eq_2_over_every_stride_th_row_and_column_of_all_tiles(exchange, rate, stride, sizes):
    attn, sap = _attention(), SpatialPropagation(rate, exchange)
    x = [noise(2, rows * columns, HEADS * DIM, seed=m) for m, (rows, columns) in enumerate(sizes)]
    tasks = [partial(_layer, attn, sap.round(0, 1), x[m], 0, m, sizes) for m in range(len(sizes))]
    ours = side_by_side(tasks)
    for m, tokens in enumerate(x):
        for f in range(2):
            merged = [tokens[f]]
            for other, (rows, columns) in zip(x, sizes, strict=True):
                for i in range(0, rows, stride):
                    merged += [other[f][None, i * columns + j] for j in range(0, columns, stride)]
            reference = _reference(attn, tokens[f].double().numpy(), torch.cat(merged).double().numpy())
            np.testing.assert_allclose(ours[m][f], reference, atol=2e-6)


def test_tap_is_eq_2_over_the_neighbour_s_best_keyed_frames():
    attn, round = _attention(), tap().round(0, 1)
    size, frames = (3, 3), 4
    windows = [noise(frames, 9, HEADS * DIM, seed=n) for n in range(3)]
    ours = [_layer(attn, round, x, n, 0, [size]) for n, x in enumerate(windows)]
    W_k = attn.to_k.weight.double()
    for n, x in enumerate(windows):
        given = []
        if n > 0:
            before = windows[n - 1].double()
            deviations = [(frame @ W_k.T).numpy().std(ddof=1) for frame in before]
            given = [before[f] for f in np.argsort(deviations)[::-1][:2]]
        for f in range(frames):
            keys = torch.cat([x[f].double(), *given])
            reference = _reference(attn, x[f].double().numpy(), keys.numpy())
            np.testing.assert_allclose(ours[n][f], reference, atol=2e-6)


def test_the_layer_of_a_batch_of_tiles_is_that_of_each():
    attn = _attention()
    layer, x = PropagatedAttention("layer", propagates=True, mid=False), noise(6, 9, HEADS * DIM)
    place = Place(0, 1.0, "none", "forward", 0, (0, 1), 2, 0, (3, 3))
    with calling(Call(place=place)):
        together = layer(attn, x)
    torch.testing.assert_close(together, torch.cat([layer(attn, part) for part in x.split(3)]))


def test_the_four_layers_are_those_of_the_picker():
    denoiser = make_denoiser("svd")
    with denoiser.propagated():
        processors = denoiser.unet.attn_processors
        ours = [name for name, p in processors.items() if isinstance(p, PropagatedAttention) and p.propagates]
    assert sorted(ours) == sorted(f"{name}.processor" for name in propagated_layers(denoiser.unet))
