"""Eqs. (1) and (7) against float64, and their limits."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dcvsr.attention.self_attention import (
    PER_FRAME,
    PER_HEAD,
    PER_TILE,
    ReceivedAttention,
    attention_mass,
    identity_attention,
    self_attention,
    suppressed_attention,
)
from tests.attention.making import noise
from tests.comparing import apart

M, F, H, P, N, D = 2, 3, 2, 5, 8, 4
"""Tiles, frames, heads, positions, keys, channels per head."""


def _qkv(scale: float = 3.0, dtype=torch.float64):
    q, k, v = noise(M, F, H, P, D), noise(M, F, H, N, D, seed=1), noise(M, F, H, N, D, seed=2)
    return (scale * q).to(dtype), (scale * k).to(dtype), v.to(dtype)


def _weights(q, k, divisor=1.0):
    """Softmax of one matrix's scores, ``p n``."""
    scores = q.numpy() @ k.numpy().T / (divisor * np.sqrt(D))
    powers = np.exp(scores - scores.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def _matrices():
    return np.ndindex(M, F, H)


def test_self_attention_is_eq_1():
    q, k, v = _qkv()
    ours = self_attention(q, k, v)
    for at in _matrices():
        np.testing.assert_allclose(ours[at], _weights(q[at], k[at]) @ v[at].numpy(), atol=1e-12)


@pytest.mark.parametrize("maxima", [PER_HEAD, PER_FRAME, PER_TILE])
@pytest.mark.parametrize("gamma", [0.05, 0.3, 1.0])
def test_suppressed_attention_is_eq_7(maxima, gamma):
    q, k, v = _qkv()
    ours = suppressed_attention(q, k, v, gamma, maxima)
    for m, f, h in _matrices():
        among = {PER_HEAD: (m, f, h), PER_FRAME: (m, f), PER_TILE: (m,)}[maxima]
        q_max, k_max = np.abs(q[among].numpy()).max(), np.abs(k[among].numpy()).max()
        weights = _weights(q[m, f, h], k[m, f, h], max(gamma**2 * q_max * k_max, 1))
        np.testing.assert_allclose(ours[m, f, h], weights @ v[m, f, h].numpy(), atol=1e-12)


def test_the_three_choices_of_maxima_differ():
    outs = [suppressed_attention(*_qkv(), 0.5, maxima) for maxima in (PER_HEAD, PER_FRAME, PER_TILE)]
    assert all(apart(outs[i], outs[j], 1e-5) for i, j in ((0, 1), (0, 2), (1, 2)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_gamma_zero_is_plain_attention(dtype):
    q, k, v = _qkv(dtype=dtype)
    assert torch.equal(suppressed_attention(q, k, v, 0.0), self_attention(q, k, v))
    assert apart(suppressed_attention(q, k, v, 1.0), self_attention(q, k, v))


def test_small_scores_are_not_suppressed():
    """max(., 1): gamma^2 q k below 1 is Eq. (1) too."""
    q, k, v = _qkv(scale=0.1)
    assert torch.equal(suppressed_attention(q, k, v, 1.0), self_attention(q, k, v))


@pytest.mark.parametrize(("dtype", "atol"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)])
def test_gamma_large_is_the_mean_of_v(dtype, atol):
    q, k, v = _qkv(dtype=dtype)
    mean = v.float().mean(-2, keepdim=True).expand(M, F, H, P, D)
    torch.testing.assert_close(suppressed_attention(q, k, v, 1e3).float(), mean, atol=atol, rtol=0)
    assert apart(self_attention(q, k, v), mean, 2 * atol)


def test_the_entropy_of_the_weights_grows_with_gamma():
    q, k, _ = _qkv()
    identity = torch.eye(N, dtype=q.dtype).expand(M, F, H, N, N)

    def entropy(gamma):
        weights = suppressed_attention(q, k, identity, gamma)
        return -(weights * weights.log()).sum(-1)

    entropies = [entropy(gamma) for gamma in (0, 0.3, 0.5, 0.8, 1.2)]
    for less, more in itertools.pairwise(entropies):
        assert (more > less).all()


def test_results_do_not_depend_on_batching():
    q, k, v = _qkv()
    for maxima in (PER_HEAD, PER_FRAME, PER_TILE):
        whole = suppressed_attention(q, k, v, 0.5, maxima)
        for m in range(M):
            part = suppressed_attention(q[m : m + 1], k[m : m + 1], v[m : m + 1], 0.5, maxima)
            torch.testing.assert_close(part, whole[m : m + 1])


def test_identity_attention_is_the_tile_s_own_v():
    q, k, v = _qkv()
    assert torch.equal(identity_attention(q, k, v), v[..., :P, :])


@settings(max_examples=20)
@given(scale=st.floats(0, 20))
def test_attention_mass_is_the_weight_of_the_tile_s_own_keys(scale):
    q, k, _ = _qkv(scale)
    mass = attention_mass(q, k)
    for at in _matrices():
        own = _weights(q[at].float().double(), k[at].float().double())[:, :P].sum(1).mean()
        np.testing.assert_allclose(mass[at], own, rtol=1e-3, atol=1e-6)


def test_received_attention_attends_and_keeps_what_each_position_receives_of_its_own_tile():
    q, k, v = _qkv()
    received = ReceivedAttention()
    assert torch.equal(received(q, k, v), self_attention(q, k, v))
    assert received.map.shape == (M, F, P)
    for m, f in np.ndindex(M, F):
        heads = [_weights(q[m, f, h], k[m, f, h, :P]).sum(0) for h in range(H)]
        np.testing.assert_allclose(received.map[m, f], np.mean(heads, axis=0), rtol=1e-4)
    torch.testing.assert_close(received.map.mean(-1), torch.ones(M, F, dtype=q.dtype))
