"""SVD through diffusers: its true architecture, its file layout, and its own pipeline as the reference."""

import shutil
from copy import deepcopy
from functools import partial

import numpy as np
import pytest
import torch
from diffusers.models.attention import FeedForward
from diffusers.models.unets.unet_spatio_temporal_condition import UNetSpatioTemporalConditionModel
from diffusers.pipelines.stable_video_diffusion import StableVideoDiffusionPipeline
from hydra import compose, initialize_config_dir
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F
from transformers import CLIPImageProcessor

import dcvsr
from dcvsr.attention.alternating import Alternating
from dcvsr.attention.propagation import SpatialPropagation
from dcvsr.diffusion.guidance import CFG
from dcvsr.diffusion.sampler import Sampler
from dcvsr.imaging import upsample
from dcvsr.models.denoiser import Condition, Denoiser
from dcvsr.models.svd import (
    TOKENS,
    feed_forward_in_parts,
    new_unet,
    pretrained_image_encoder,
    pretrained_unet,
    recompute_activations,
)
from dcvsr.models.svd_autoencoder import pretrained_autoencoder
from dcvsr.models.tiled import TiledDenoiser
from dcvsr.runtime.cli import CONF
from dcvsr.runtime.errors import UserError
from dcvsr.tiling.grid import TileGrid
from dcvsr.weights import require_weights
from tests.attention.making import Notes, tap
from tests.models.making_svd import small_pipeline

FRAMES, SIDE = 4, 64


@pytest.fixture(scope="module")
def pipeline() -> StableVideoDiffusionPipeline:
    return small_pipeline(FRAMES)


@pytest.fixture(scope="module")
def folder(pipeline, tmp_path_factory):
    folder = tmp_path_factory.mktemp("svd")
    pipeline.save_pretrained(folder)
    return folder


def test_our_sampler_and_diffusers_pipeline_agree_on_one_tile(pipeline):
    """One tile, which has nobody to exchange with, CFG, the same weights and conditions: our loop and theirs
    end in the same latent.
    """
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8))
    noise = torch.randn(1, FRAMES, 4, SIDE // 8, SIDE // 8)
    theirs = pipeline(
        picture,
        height=SIDE,
        width=SIDE,
        num_frames=FRAMES,
        num_inference_steps=5,
        min_guidance_scale=2.0,
        max_guidance_scale=2.0,
        fps=9,
        motion_bucket_id=127,
        noise_aug_strength=0.0,
        latents=noise,
        output_type="latent",
    ).frames

    pixels = pipeline.video_processor.preprocess(picture, height=SIDE, width=SIDE)
    with torch.inference_mode():
        latent = pipeline._encode_vae_image(pixels, "cpu", 1, False)
        image = pipeline._encode_image(picture, "cpu", 1, False)
        condition = Condition(latent[:, None].repeat(1, FRAMES, 1, 1, 1), image)
        denoiser, grid = Denoiser(pipeline.unet, [8, 127, 0]), TileGrid(SIDE // 8, FRAMES, 0.5)
        with denoiser.propagated():
            ours = Sampler(5, 0.002, 700, 7)(
                TiledDenoiser(
                    denoiser=denoiser,
                    guidance=CFG(1.0),
                    propagation=Alternating(SpatialPropagation(0.25, "lockstep"), tap(), "countdown", "own"),
                    windows=partial(grid.windows, FRAMES, SIDE // 8, SIDE // 8),
                    condition=lambda tile: condition,
                    blend=0.1,
                    blend_time=0.1,
                    steps=5,
                    batch=1,
                ),
                noise[0],
            )
    assert (ours - theirs[0]).abs().max() < 1e-4 * theirs.abs().max()


def test_frames_attend_to_their_own_embeddings_and_temporal_blocks_to_the_first():
    """DepthCrafter's reading of spec A12: ``flatten(0, 1).unsqueeze(1)`` reaches every cross-attention."""
    torch.manual_seed(0)
    denoiser = Denoiser(new_unet(4, [32, 64], [1, 2], layers=1, embedding=32, frames=3), [8, 127, 0])
    seen = {}
    for name, module in denoiser.unet.named_modules():
        if name.endswith("attn2"):
            note = lambda _, args, kwargs, name=name: seen.update({name: kwargs["encoder_hidden_states"]})  # noqa: E731
            module.register_forward_pre_hook(note, with_kwargs=True)
    x, image = torch.randn(2, 3, 4, 8, 8), torch.randn(2, 3, 32)
    denoiser(x, torch.ones(2), Condition(x, image))
    temporal = {name for name in seen if "temporal_transformer_blocks" in name}
    assert 0 < len(temporal) < len(seen)
    for name, embeddings in seen.items():
        if name in temporal:
            positions = len(embeddings) // 2
            expected = image[:, :1].repeat_interleave(positions, dim=0)
        else:
            expected = image.flatten(0, 1).unsqueeze(1)
        assert torch.equal(embeddings, expected), name


def test_one_embedding_is_the_same_embedding_for_each_frame():
    torch.manual_seed(0)
    denoiser = Denoiser(new_unet(4, [32, 64], [1, 2], layers=1, embedding=32, frames=3), [8, 127, 0])
    x, sigma, image = torch.randn(2, 3, 4, 8, 8), torch.ones(2), torch.randn(2, 1, 32)
    one, each = (denoiser(x, sigma, Condition(x, shown)) for shown in (image, image.expand(-1, 3, -1)))
    assert torch.equal(one, each)
    other = torch.cat([image, image, -image], dim=1)
    assert not torch.allclose(denoiser(x, sigma, Condition(x, other)), one)
    with pytest.raises(ValueError, match="2 image embeddings do not fit 3 frames"):
        denoiser(x, sigma, Condition(x, image.expand(-1, 2, -1)))


def test_the_unet_has_svd_s_1524_623_082_parameters():
    """Spec 2.1; new_unet at SVD's size is SVD's own configuration."""
    with torch.device("meta"):
        unet = new_unet(4, [320, 640, 1280, 1280], [5, 10, 20, 20], layers=2, embedding=1024, frames=14)
        theirs = UNetSpatioTemporalConditionModel(
            num_attention_heads=(5, 10, 20, 20), num_frames=14, projection_class_embeddings_input_dim=768
        )
    assert unet.config["addition_time_embed_dim"] == 1024
    ours, reference = (dict(u.named_parameters()) for u in (unet, theirs))
    assert sum(p.numel() for p in reference.values()) == 1_524_623_082
    assert ours.keys() == reference.keys()


def test_a_local_folder_gives_back_the_same_weights(pipeline, folder):
    unet = pretrained_unet(str(folder), ckpt=None, checkpointing=False)
    for name, tensor in pipeline.unet.state_dict().items():
        assert torch.equal(unet.state_dict()[name], tensor)
    frames = torch.rand(2, 3, 48, 40)
    assert pretrained_image_encoder(str(folder))(frames).shape == (2, 1, 32)


def kept_for_backward(unet: UNetSpatioTemporalConditionModel, prepare) -> tuple[int, list[torch.Tensor]]:
    """The bytes that autograd saves, without weights and inputs of recomputed modules, and the gradients."""
    unet = deepcopy(unet).train()
    prepare(unet)
    weights = {parameter.untyped_storage().data_ptr() for parameter in unet.parameters()}
    kept = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    torch.manual_seed(1)
    given = torch.randn(1, 3, 8, 8, 8), torch.rand(1), torch.randn(1, 1, 32), torch.zeros(1, 3)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        y = unet(*given).sample
    y.square().mean().backward()
    return sum(kept.values()), [parameter.grad for parameter in unet.parameters()]  # type: ignore[misc]


def test_recomputed_activations_are_not_kept_and_change_no_gradient(pipeline):
    all_, ours, theirs = (
        kept_for_backward(pipeline.unet, prepare)
        for prepare in (
            lambda unet: None,
            recompute_activations,
            lambda unet: unet.enable_gradient_checkpointing(),
        )
    )
    assert ours[0] < 0.3 * theirs[0] < 0.3 * all_[0]
    for gradient, expected in zip(ours[1], all_[1], strict=True):
        torch.testing.assert_close(gradient, expected)


def test_feed_forward_networks_take_some_tokens_at_a_time_and_change_nothing():
    torch.manual_seed(0)
    unet = new_unet(4, [32, 32], [1, 1], layers=1, embedding=8, frames=3).eval()
    most: list[int] = []
    for module in unet.modules():
        if isinstance(module, FeedForward):
            module.net[0].register_forward_pre_hook(lambda _, args: most.append(args[0].shape[:-1].numel()))
    x, image, ids = torch.randn(1, 3, 8, 24, 24), torch.zeros(1, 1, 8), torch.zeros(1, 3)  # 1728 tokens

    def run() -> Tensor:
        most.clear()
        return unet(x, 0.5, encoder_hidden_states=image, added_time_ids=ids).sample

    with torch.inference_mode():
        whole, of_whole = run(), max(most)
        with feed_forward_in_parts(unet):
            parts, of_parts = run(), max(most)
        run()
    torch.testing.assert_close(parts, whole, rtol=1e-5, atol=1e-6)
    assert (of_whole, of_parts, max(most)) == (1728, TOKENS, 1728)


def test_files_in_bfloat16_are_computed_in_float32(folder, tmp_path):
    for file in folder.glob("*/*.safetensors"):
        halved = {name: tensor.bfloat16() for name, tensor in load_file(file).items()}
        copy = tmp_path / file.relative_to(folder)
        shutil.copytree(file.parent, copy.parent)
        save_file(halved, copy, {"format": "pt"})
        config = copy.with_name("config.json")
        config.write_text(config.read_text().replace('"dtype": "float32"', '"dtype": "bfloat16"'))
    source = str(tmp_path)
    networks = [
        pretrained_unet(source, ckpt=None, checkpointing=False),
        pretrained_autoencoder(source, chunk=2),
        pretrained_image_encoder(source),
    ]
    assert {tensor.dtype for network in networks for tensor in network.parameters()} == {torch.float32}


def test_the_vae_encodes_frames_alone_and_decodes_by_chunks(folder):
    vae = pretrained_autoencoder(str(folder), chunk=2)
    assert (vae.factor, vae.channels) == (8, 4)
    video = torch.rand(1, 5, 3, 32, 24)
    latent = vae.encode(video)
    assert latent.shape == (1, 5, 4, 4, 3)
    torch.testing.assert_close(vae.encode(video[:, 3:4]), latent[:, 3:4])
    decoded = vae.decode(latent)
    assert decoded.shape == video.shape
    torch.testing.assert_close(vae.decode(latent[:, :2]), decoded[:, :2])
    torch.testing.assert_close(vae.decode(latent[:, 3:])[:, 1], decoded[:, 4])  # the last chunk is whole
    assert not any(p.requires_grad for p in vae.parameters())


def test_chunks_of_the_vae_overlap_and_are_crossfaded(folder):
    """The temporal decoder sees other frames in each chunk, so what two chunks share is a mixture of both."""
    latent = torch.randn(1, 5, 4, 4, 3)
    decode = pretrained_autoencoder(str(folder), chunk=5).decode
    vae = pretrained_autoencoder(str(folder), chunk=3, overlap=1)
    first, second, result = decode(latent[:, :3]), decode(latent[:, 2:]), vae.decode(latent)
    assert not torch.allclose(first[:, 2], second[:, 0], atol=1e-4)
    torch.testing.assert_close(result[:, 2], (first[:, 2] + second[:, 0]) / 2)
    torch.testing.assert_close(result[:, :2], first[:, :2])
    torch.testing.assert_close(result[:, 3:], second[:, 1:])
    assert vae.decoded_sizes(5, 32, 24) == [(3, 32, 24), (3, 32, 24)]


def test_gradients_flow_through_decoding(folder):
    """Equal to those of diffusers' decoder on the two chunks, whose weights learn nothing."""
    vae = pretrained_autoencoder(str(folder), chunk=2)
    latent, weight = torch.randn(1, 4, 4, 4, 3, requires_grad=True), torch.randn(1, 4, 3, 32, 24)
    video = vae.decode(latent)
    (found,) = torch.autograd.grad((weight * video).sum(), latent)
    chunks = [vae.vae.decode(latent[0, start : start + 2], num_frames=2).sample for start in (0, 2)]
    whole = (torch.cat(chunks)[None] + 1) / 2
    (expected,) = torch.autograd.grad((weight * whole).sum(), latent)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert found.abs().max() > 0
    torch.testing.assert_close(video.detach(), vae.decode(latent.detach()), rtol=1e-4, atol=1e-5)


def test_one_tile_decodes_as_without_tiles(folder):
    latent = torch.randn(1, 3, 4, 6, 5)
    whole, tiled = (pretrained_autoencoder(str(folder), chunk=2, tile=tile) for tile in (None, 6))
    assert torch.equal(tiled.decode(latent), whole.decode(latent))
    assert tiled.decoded_sizes(3, 48, 40) == whole.decoded_sizes(3, 48, 40) == 2 * [(2, 48, 40)]


@pytest.mark.parametrize("size", [(16, 16), (9, 21), (8, 9)], ids=str)
@pytest.mark.parametrize("overlap", [0, 0.25, 0.5])
def test_tiles_of_a_local_decoder_blend_to_the_whole(folder, monkeypatch, size, overlap):
    """A decoder that repeats pixels has no seams, so the weights of the tiles must sum to one everywhere."""
    monkeypatch.setattr(
        "dcvsr.models.svd_autoencoder.decoded",
        lambda _, x: F.interpolate(x[:, :3], scale_factor=8, mode="nearest"),
    )
    latent = torch.randn(1, 5, 4, *size)
    whole, tiled = (
        pretrained_autoencoder(str(folder), chunk=3, overlap=1, tile=tile, tile_overlap=overlap)
        for tile in (None, 8)
    )
    assert len(tiled.decoded_sizes(5, *(8 * side for side in size))) > 2
    torch.testing.assert_close(tiled.decode(latent), whole.decode(latent))


def test_tiles_change_the_result_by_a_bounded_part_of_its_deviation(folder):
    """Group normalisation and attention see a tile alone; noise has about the same statistics everywhere."""
    latent = torch.randn(1, 2, 4, 16, 24, generator=torch.Generator().manual_seed(0))
    whole, tiled = (pretrained_autoencoder(str(folder), chunk=2, tile=tile) for tile in (None, 16))
    result = whole.decode(latent)
    error = (tiled.decode(latent) - result).square().mean().sqrt() / result.std()
    assert 0.001 < error < 0.2


def test_the_estimate_of_memory_knows_the_decoder_its_chunks_and_its_tiles(folder):
    """With 128 channels, 14 frames of 512x512 are estimated at 5 GB, which is what a CPU was seen to need."""
    whole, halved, tiled = (
        pretrained_autoencoder(str(folder), chunk, tile=tile)
        for chunk, tile in ((14, None), (7, None), (14, 32))
    )
    assert 4.9e9 < whole.decoding_memory(14, 512, 512) * 128 / 32 < 5.1e9
    assert whole.decoding_memory(14, 512, 512) == whole.decoding_memory(100, 512, 512)
    assert halved.decoding_memory(14, 512, 512) < 0.7 * whole.decoding_memory(14, 512, 512)
    assert 4 * tiled.decoding_memory(14, 512, 512) == whole.decoding_memory(14, 512, 512)
    upscaler = instantiate(_scale_svd("upscale", folder, "input=a", "output=b", "ckpt=null").upscaler)
    assert upscaler.memory(14, 128, 128) > whole.decoding_memory(14, 512, 512)


def test_tiles_that_overlap_wholly_are_refused(folder):
    with pytest.raises(ValueError, match="overlap must be a fraction in"):
        pretrained_autoencoder(str(folder), chunk=2, tile=8, tile_overlap=1)


def test_an_overlap_of_a_whole_chunk_is_refused(folder):
    cfg = _scale_svd("upscale", folder, "input=a", "output=b", "model.latents.autoencoder.overlap=14")
    with pytest.raises(InstantiationException, match="chunks of 14 frames can overlap by 0 to 13, got 14"):
        instantiate(cfg.model.latents)


def _scale_svd(command: str, folder, *overrides: str):
    small = ("tile.size=8", "tile.frames=4", "sampler.steps=2", "data.crop=64", "data.frames=4")
    with initialize_config_dir(str(CONF), version_base="1.3"):
        given = [key for key in (*small, *overrides) if command == "train" or not key.startswith("data.")]
        return compose(command, ["scale=svd", f"model.weights={folder}", *given])


def test_scale_svd_upscales_with_svd_s_parts(folder):
    cfg = _scale_svd("upscale", folder, "input=a", "output=b", "ckpt=null", "guidance=cfg")
    upscaler = instantiate(cfg.upscaler, _convert_="all")
    hr = upscaler(torch.rand(5, 3, 11, 19))
    assert hr.shape == (5, 3, 44, 76)
    assert torch.isfinite(hr).all()


def test_load_takes_svd_and_a_checkpoint(folder, tmp_path):
    small = [f"model.weights={folder}", "tile.size=8", "tile.frames=4", "sampler.steps=1"]
    initial = dcvsr.load("svd", overrides=[*small, "ckpt=null"]).upscaler.denoiser.state_dict()
    state = {f"denoiser.{name}": tensor / 2 for name, tensor in initial.items()}
    about = {"dcvsr": {"scale": "svd", "stage": 2}, "state_dict": state, "global_step": 7}
    torch.save(about, tmp_path / "last.ckpt")
    up = dcvsr.load("svd", ckpt=tmp_path / "last.ckpt", overrides=small)
    assert all(
        torch.equal(up.upscaler.denoiser.state_dict()[name], tensor / 2) for name, tensor in initial.items()
    )
    assert up(torch.zeros(2, 3, 8, 8, dtype=torch.uint8)).shape == (2, 3, 32, 32)
    again = dcvsr.load("svd", ckpt=str(folder), overrides=small).upscaler.denoiser.state_dict()
    assert all(torch.equal(again[name], tensor) for name, tensor in initial.items())


def test_scale_svd_with_a_ckpt_needs_no_weights_of_svd_s_own_unet(folder, tmp_path):
    rest = shutil.copytree(folder, tmp_path / "rest", ignore=shutil.ignore_patterns("diffusion*"))
    shutil.copytree(folder / "vae", rest / "vae", dirs_exist_ok=True)
    require_weights(str(folder / "unet"), str(rest))
    with pytest.raises(UserError, match=r"lacks unet/\*.safetensors"):
        require_weights(None, str(rest))
    lr, hr = torch.rand(5, 3, 11, 19), []
    for source, ckpt in ((folder, "null"), (rest, folder / "unet"), (rest, folder)):
        cfg = _scale_svd("upscale", source, "input=a", "output=b", f"ckpt={ckpt}", "guidance=none")
        hr.append(instantiate(cfg.upscaler, _convert_="all")(lr))
    # diffusers leaves weights unaligned in memory, which changes last digits.
    torch.testing.assert_close(hr[1], hr[0], atol=2e-4, rtol=0)
    assert torch.equal(hr[1], hr[2])


@pytest.mark.parametrize("size", [224, 336])
def test_a_picture_is_normalised_for_clip_as_its_own_processor_does(folder, size):
    """Grey pictures of each colour, so that only the normalisation counts and not the resizing before it."""
    encoder, seen = pretrained_image_encoder(str(folder)), []
    encoder.clip.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    levels = np.array([[51, 0, 255], [204, 102, 0]], dtype=np.uint8)
    pictures = np.broadcast_to(levels[:, None, None], (2, size, size, 3))
    encoder(torch.from_numpy(pictures / 255).movedim(-1, 1))
    theirs = CLIPImageProcessor()(list(pictures), return_tensors="pt").pixel_values
    assert theirs.shape == (2, 3, 224, 224)
    torch.testing.assert_close(seen[0], theirs, atol=1e-4, rtol=0)


def test_a_picture_of_clip_s_own_size_has_the_embedding_of_diffusers_pipeline(pipeline, folder):
    picture = np.random.default_rng(1).integers(0, 256, (224, 224, 3), dtype=np.uint8)
    with torch.inference_mode():
        theirs = pipeline._encode_image(Image.fromarray(picture), "cpu", 1, False)
    ours = pretrained_image_encoder(str(folder))(torch.from_numpy(picture / 255).movedim(-1, 0)[None])
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-3)


def test_the_estimated_latent_is_scaled_by_0_18215_and_the_shown_one_is_not(pipeline, folder):
    """Spec 2.3, at the keys of conf/model/svd.yaml, against diffusers' VAE."""
    cfg = _scale_svd("train", folder, "+experiment=stage1", "ckpt=null", "metrics=fidelity")
    module, vae = instantiate(cfg.module, _convert_="all"), pipeline.vae
    hr, lr = torch.rand(1, 4, 3, 64, 64), torch.rand(1, 4, 3, 16, 16)
    y, c = module.encode({"hr": hr, "lr": lr})
    with torch.no_grad():
        encoded = [vae.encode(2 * video - 1).latent_dist.mode() for video in (hr[0], upsample(lr[0]))]
        decoded = vae.decode(encoded[0], num_frames=4).sample
    torch.testing.assert_close(y[0], 0.18215 * encoded[0], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(c.latent[0], encoded[1], atol=1e-5, rtol=1e-4)
    restored = module.upscaler.latents.decode(0.18215 * encoded[0][None], c.latent)
    torch.testing.assert_close(2 * restored[0] - 1, decoded, atol=1e-4, rtol=1e-3)


def test_scale_svd_hands_on_a_quarter_of_the_positions_and_four_frames(folder):
    """Spec A1, section 3.2: keys of each propagated layer at two tiles and two windows, step 2 and step 1."""
    notes = Notes()
    changed = ("tile.frames=6", "guidance=none", "ckpt=null")
    cfg = _scale_svd("upscale", folder, "input=a", "output=b", *changed)
    instantiate(cfg.upscaler, _convert_="all")(torch.rand(8, 3, 11, 19), observer=notes)
    keys = {
        (p.step, p.scheme, p.window, layer, q.shape[-2], k.shape[-2]) for p, layer, q, k in notes.attentions
    }
    layers = {layer for *_, layer, _, _ in keys}
    assert len(layers) == 4
    sap = {(0, "sap", window, layer, 64, 64 + 2 * 16) for layer in layers for window in (0, 1)}
    tap = {(1, "tap", window, layer, 64, 64 + 4 * 64 * window) for layer in layers for window in (0, 1)}
    assert keys == sap | tap


def test_scale_svd_does_not_begin_stage_2_without_a_stage_1(folder, tmp_path):
    cfg = _scale_svd("train", folder, "+experiment=stage2", f"runs={tmp_path}", "metrics=fidelity")
    refused = (
        r"no stage-1 checkpoint of scale=svd under .*\+experiment=stage1 scale=svd`, or give one with ckpt="
    )
    with pytest.raises(InstantiationException, match=refused):
        instantiate(cfg.module.upscaler)


def test_scale_svd_trains_svd_s_unet_and_nothing_else(folder):
    cfg = _scale_svd("train", folder, "+experiment=stage2", "ckpt=null", "metrics=fidelity")
    module = instantiate(cfg.module, _convert_="all")
    y, c = module.encode({"hr": torch.rand(1, 4, 3, 64, 64), "lr": torch.rand(1, 4, 3, 16, 16)})
    assert y.shape == c.latent.shape == (1, 4, 4, 8, 8)
    assert c.image.shape == (1, 1, 32)
    loss = module.loss(lambda x, sigma: module.denoiser(x, sigma, c), y, torch.randn_like(y), torch.ones(1))
    loss.backward()
    assert all(p.grad is not None for p in module.denoiser.parameters())
    assert {name.split(".")[1] for name in module.state_dict()} == {"unet"}


def test_checkpointing_of_a_new_unet_is_by_key():
    size = {
        "latent_channels": 4,
        "channels": [32, 32],
        "heads": [1, 1],
        "layers": 1,
        "embedding": 8,
        "frames": 2,
    }
    assert new_unet(**size, checkpointing=True).is_gradient_checkpointing
    assert not new_unet(**size).is_gradient_checkpointing
