"""One content, one hash: what is not the same never shares one, and what is the same always does."""

import math
from collections import OrderedDict
from dataclasses import dataclass

import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl_temporal_decoder import AutoencoderKLTemporalDecoder
from hypothesis import assume, example, given
from hypothesis import strategies as st
from omegaconf import OmegaConf
from torch import nn

from dcvsr.models.autoencoder import HaarAutoencoder
from dcvsr.models.image_encoder import ZeroEmbedding
from dcvsr.models.latents import ResidualLatents
from dcvsr.models.svd_autoencoder import SVDAutoencoder
from dcvsr.runtime.hashing import digest, software

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-3, 300)
    | st.floats()
    | st.text(max_size=4)
    | st.binary(max_size=3)
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=6,
)


def same(one, other) -> bool:
    """Equality as hashing defines it: types count, nan equals nan, -0.0 differs from 0.0."""
    if type(one) is not type(other):
        return False
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, float):
        both_nan = math.isnan(one) and math.isnan(other)
        return both_nan or (one == other and math.copysign(1, one) == math.copysign(1, other))
    return one == other


@given(TREES, TREES)
@example({"a": [1, 2]}, {"a": [12]})
@example([[1], [2]], [[1, 2]])
@example([[], [1]], [[1], []])
@example({"a": "b"}, ["a", "b"])
@example({"a": {"b": 1}}, {"a": "b", "b": 1})
@example("1", 1)
@example(1, 1.0)
@example(True, 1)
@example(0.0, -0.0)
@example(math.nan, math.inf)
@example(None, "None")
@example(b"a", "a")
@example(b"\1", [1])
@example("", [])
@example("[1, 2]", [1, 2])
def test_two_descriptions_share_a_digest_only_if_they_are_the_same(one, other):
    assert (digest(one) == digest(other)) == same(one, other)


# OmegaConf reads ??? as a missing value and ${ as an interpolation.
@given(st.dictionaries(st.text(st.characters(exclude_characters="?$")), TREES, min_size=2, max_size=4))
def test_neither_order_nor_the_kind_of_container_counts(parts):
    turned = OrderedDict(reversed(parts.items()))
    assert digest(parts) == digest(turned)
    assert digest([*parts]) == digest((*parts,)) == digest(OmegaConf.create([*parts]))


@given(st.lists(st.floats(width=32), min_size=1, max_size=4), st.integers(0, 3))
def test_a_single_bit_of_a_tensor_counts(numbers, at):
    assume(at < len(numbers))
    tensor = torch.tensor(numbers, dtype=torch.float32)
    other = tensor.clone()
    other.view(torch.int32)[at] ^= 1
    assert digest(tensor) == digest(tensor.clone()) != digest(other)


def test_shape_and_type_of_a_tensor_count_and_its_strides_do_not():
    tensor = torch.arange(6)
    assert len({digest(part) for part in (tensor, tensor.view(2, 3), tensor.view(3, 2), tensor.int())}) == 4
    assert digest(torch.zeros(2)) != digest(torch.zeros(2, dtype=torch.int32)) != digest([0, 0])
    assert digest(torch.zeros(0, 2)) != digest(torch.zeros(2, 0))
    assert digest(tensor.view(2, 3).T) == digest(tensor.view(2, 3).T.contiguous())
    assert digest(torch.tensor(0.5, dtype=torch.bfloat16)) != digest(torch.tensor(0.5))


def test_unsupported_types_are_refused():
    for value in (object(), {1, 2}, len, ZeroEmbedding):
        with pytest.raises(TypeError, match="cannot hash"):
            digest({"part": [value]})


def test_settings_and_class_of_a_dataclass_count():
    @dataclass(frozen=True)
    class OtherEmbedding:
        size: int

    assert digest(ZeroEmbedding(2)) == digest(ZeroEmbedding(2)) != digest(ZeroEmbedding(3))
    assert digest(ZeroEmbedding(2)) != digest(OtherEmbedding(2)) != digest({"size": 2})


def test_constants_of_latents_count():
    one, same_again, other = (
        ResidualLatents(HaarAutoencoder(), [0], [std] * 48, [0.0] * 48, [1.0] * 48, 3, 0.02)
        for std in (0.1, 0.1, 0.2)
    )
    assert digest(one) == digest(same_again) != digest(other)


def autoencoder(**changed) -> SVDAutoencoder:
    torch.manual_seed(0)
    vae = AutoencoderKLTemporalDecoder(
        **{
            "block_out_channels": (32, 32),
            "down_block_types": ("DownEncoderBlock2D",) * 2,
            "layers_per_block": 1,
            **changed,
        }  # type: ignore[arg-type]
    )
    return SVDAutoencoder(vae, chunk=2)


def norms(module: nn.Module) -> list[nn.GroupNorm]:
    return [part for part in module.modules() if isinstance(part, nn.GroupNorm)]


def test_a_network_is_its_weights_and_its_settings():
    assert digest(autoencoder()) == digest(autoencoder())
    changed = autoencoder()
    norms(changed)[0].eps = 0.5
    others = [changed, autoencoder(layers_per_block=2), autoencoder().train(), autoencoder().vae]
    assert len({*map(digest, others), digest(autoencoder())}) == 5


def test_weights_that_change_are_noticed_though_they_are_read_once(monkeypatch):
    network = autoencoder()
    before = digest(network)
    read = []
    monkeypatch.setattr(torch.Tensor, "cpu", lambda tensor: read.append(1) or tensor)
    assert digest(network) == before
    assert not read
    with torch.no_grad():
        norms(network)[-1].weight[0] += 1
    assert digest(network) != before
    assert read


def test_a_buffer_that_is_not_saved_counts():
    haar = HaarAutoencoder()
    before = digest(haar)
    assert "basis" not in haar.state_dict()
    haar.basis = -haar.basis
    assert digest(haar) != before


def test_an_edit_of_the_code_counts(tmp_path, monkeypatch):
    found = []
    for text in ("x = 1", "x = 2"):
        (tmp_path / "part.py").write_text(text)
        monkeypatch.setattr("dcvsr.runtime.hashing.__file__", str(tmp_path / "runtime" / "hashing.py"))
        found.append(software.__wrapped__())
    assert digest(found[0]) != digest(found[1])
