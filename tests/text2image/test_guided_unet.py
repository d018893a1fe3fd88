"""Our guidances in diffusers' pipelines, against the pipelines that diffusers publishes."""

import copy

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    EulerDiscreteScheduler,
    StableDiffusionPAGPipeline,
    StableDiffusionPipeline,
    StableDiffusionSAGPipeline,
    UNet2DConditionModel,
)
from torch import Tensor

from dcvsr.attention.self_attention import PER_HEAD, PER_TILE
from dcvsr.diffusion.guidance import CFG, DSSAG, PAG, SAG, NoGuidance, keep_all, keep_latent
from dcvsr.runtime.errors import UserError
from dcvsr.text2image.guided_unet import GuidedUNet, guided, noise_level

EMBEDDING = torch.randn(2, 5, 32, generator=torch.Generator().manual_seed(1))
NULL = torch.randn(1, 5, 32, generator=torch.Generator().manual_seed(2))
STEPS = 3
S = 1.5


@pytest.fixture(scope="module")
def unet() -> UNet2DConditionModel:
    """Stable Diffusion's in small, with attentions that are far from uniform."""
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=64,
        block_out_channels=(32, 64),
        layers_per_block=2,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=32,
        attention_head_dim=4,
        norm_num_groups=8,
    )
    with torch.no_grad():
        for name, weight in unet.named_parameters():
            if name.endswith(("attn1.to_q.weight", "attn1.to_k.weight")):
                weight.mul_(6)
    return unet.eval()


def published(kind: type, unet: UNet2DConditionModel, scheduler: object = None, **others: object):
    """One of diffusers' pipelines, without what makes pixels and embeddings."""
    nothing = dict.fromkeys(("vae", "text_encoder", "tokenizer", "safety_checker", "feature_extractor"))
    pipe = kind(unet=unet, scheduler=scheduler or ddim(), requires_safety_checker=False, **nothing, **others)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def ddim(prediction: str = "epsilon") -> DDIMScheduler:
    """Stable Diffusion's noise levels."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type=prediction,
    )


def sampled(pipe, guidance_scale: float, **others: object) -> Tensor:
    """Latents after a few steps, of two prompts, two images each."""
    return pipe(
        prompt_embeds=EMBEDDING.to(pipe.unet.dtype),
        height=128,
        width=192,
        num_inference_steps=STEPS,
        num_images_per_prompt=2,
        guidance_scale=guidance_scale,
        generator=torch.Generator().manual_seed(3),
        output_type="latent",
        **others,
    ).images


def ours(pipe, guidance, null: Tensor = NULL) -> tuple[Tensor, GuidedUNet]:
    with guided(pipe, guidance, null) as stand_in:
        return sampled(pipe, 1), stand_in


def negative() -> dict[str, Tensor]:
    return {"negative_prompt_embeds": NULL.expand_as(EMBEDDING)}


def apart(a: Tensor, b: Tensor) -> float:
    """The largest difference, in standard deviations of ``b``."""
    return float((a - b).abs().max() / b.std())


def dssag(scale: float, maxima: tuple[int, ...] = PER_HEAD) -> DSSAG:
    return DSSAG(scale, rho=0.5, sigma_min=0.03, sigma_max=14.6, maxima=maxima)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_without_guidance_it_is_the_plain_pipeline(unet, prediction: str) -> None:
    pipe = published(StableDiffusionPipeline, unet, ddim(prediction))
    latents, stand_in = ours(pipe, NoGuidance())
    assert apart(latents, sampled(pipe, 1)) < 1e-4
    assert stand_in.forwards == stand_in.iterations == STEPS


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_cfg_is_the_published_one_with_one_plus_s(unet, prediction: str) -> None:
    pipe = published(StableDiffusionPipeline, unet, ddim(prediction))
    latents, stand_in = ours(pipe, CFG(S))
    assert apart(latents, sampled(pipe, 1 + S, **negative())) < 1e-4
    assert apart(latents, sampled(pipe, 1)) > 0.01
    assert stand_in.forwards == 2 * STEPS


def test_cfg_is_the_published_one_between_timesteps_as_well(unet) -> None:
    scheduler = EulerDiscreteScheduler.from_config(ddim().config, use_karras_sigmas=True)
    pipe = published(StableDiffusionPipeline, unet, scheduler)
    latents, _ = ours(pipe, CFG(S))
    assert any(float(t) % 1 for t in scheduler.timesteps)
    assert apart(latents, sampled(pipe, 1 + S, **negative())) < 1e-4


def test_each_prompt_may_have_a_negative_one_of_its_own(unet) -> None:
    pipe, null = published(StableDiffusionPipeline, unet), EMBEDDING.flip(-1)
    latents, _ = ours(pipe, CFG(S), null)
    assert apart(latents, sampled(pipe, 1 + S, negative_prompt_embeds=null)) < 1e-4


def test_sag_is_the_published_one(unet) -> None:
    pipe = published(StableDiffusionSAGPipeline, unet)
    latents, stand_in = ours(published(StableDiffusionPipeline, unet), SAG(S, detail_scale=2))
    assert apart(latents, sampled(pipe, 1 + S, sag_scale=2, **negative())) < 1e-4
    assert apart(latents, sampled(pipe, 1 + S, sag_scale=0, **negative())) > 0.01
    assert stand_in.forwards == 3 * STEPS


def test_sag_alone_is_the_published_one(unet) -> None:
    pipe = published(StableDiffusionSAGPipeline, unet)
    guidance = SAG(S, detail_scale=2, uncond=keep_all)
    latents, stand_in = ours(published(StableDiffusionPipeline, unet), guidance)
    assert apart(latents, sampled(pipe, 1, sag_scale=2)) < 1e-4
    assert stand_in.forwards == 2 * STEPS


def test_keep_latent_is_refused_for_a_prompt(unet) -> None:
    with pytest.raises(UserError, match="uncond=keep_latent is not a choice for a prompt: choose zero_all"):
        ours(published(StableDiffusionPipeline, unet), CFG(S, uncond=keep_latent))


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_pag_is_the_published_one(unet, prediction: str) -> None:
    pipe = published(
        StableDiffusionPAGPipeline, unet, ddim(prediction), image_encoder=None, pag_applied_layers="mid"
    )
    guidance = PAG(S, detail_scale=3, layers="mid")
    latents, stand_in = ours(published(StableDiffusionPipeline, unet, ddim(prediction)), guidance)
    assert apart(latents, sampled(pipe, 1 + S, pag_scale=3, **negative())) < 1e-4
    assert apart(latents, sampled(pipe, 1 + S, pag_scale=0, **negative())) > 0.01
    assert stand_in.forwards == 3 * STEPS


def test_pag_alone_is_the_published_one(unet) -> None:
    pipe = published(StableDiffusionPAGPipeline, unet, image_encoder=None, pag_applied_layers="mid")
    guidance = PAG(S, detail_scale=3, layers="mid", uncond=keep_all)
    latents, stand_in = ours(published(StableDiffusionPipeline, unet), guidance)
    assert apart(latents, sampled(pipe, 1, pag_scale=3)) < 1e-4
    assert stand_in.forwards == 2 * STEPS


def test_dssag_joins_cfg_at_two_evaluations(unet) -> None:
    pipe = published(StableDiffusionPipeline, unet)
    latents, stand_in = ours(pipe, dssag(S))
    assert stand_in.forwards == 2 * stand_in.iterations == 2 * STEPS
    assert apart(latents, sampled(pipe, 1 + S, **negative())) > 1e-3


def test_maxima_per_head_keep_the_images_of_a_batch_apart(unet) -> None:
    pipe = published(StableDiffusionPipeline, unet)
    x = torch.randn(2, 4, 16, 24, generator=torch.Generator().manual_seed(4))

    def influence(maxima: tuple[int, ...]) -> float:
        with guided(pipe, dssag(S, maxima), NULL) as stand_in, torch.no_grad():
            both = stand_in(x, 500, EMBEDDING).sample
            (alone,) = stand_in(x[1:], 500, EMBEDDING[1:], return_dict=False)
        return apart(both[1:], alone)

    assert influence(PER_HEAD) < 1e-4
    assert influence(PER_TILE) > 1e-3


@pytest.mark.parametrize(
    "guidance",
    [CFG(0), SAG(0, detail_scale=0), PAG(0, detail_scale=0, layers="attend"), dssag(0)],
    ids=lambda guidance: type(guidance).__name__,
)
def test_s_zero_is_no_guidance(unet, guidance) -> None:
    pipe = published(StableDiffusionPipeline, unet)
    latents, _ = ours(pipe, guidance)
    assert apart(latents, sampled(pipe, 1)) < 1e-5


def test_half_precision_stays_what_it_was(unet) -> None:
    pipe = published(StableDiffusionPipeline, copy.deepcopy(unet).bfloat16())
    latents, _ = ours(pipe, NoGuidance())
    assert latents.dtype == torch.bfloat16
    assert apart(latents.float(), sampled(pipe, 1).float()) < 0.1


def test_the_pipeline_is_left_as_it_was(unet) -> None:
    pipe = published(StableDiffusionPipeline, unet)
    config, processors = dict(pipe.config), unet.attn_processors

    def stopped() -> None:
        with guided(pipe, CFG(S), NULL) as stand_in:
            assert pipe.unet is stand_in
            assert (stand_in.config, stand_in.dtype, stand_in.device) == (
                unet.config,
                unet.dtype,
                unet.device,
            )
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        stopped()
    assert pipe.unet is unet
    assert dict(pipe.config) == config
    assert unet.attn_processors == processors


def test_a_pipeline_that_guides_too_is_refused(unet) -> None:
    pipe = published(StableDiffusionPipeline, unet)
    with guided(pipe, CFG(S), NULL), pytest.raises(ValueError, match=r"guidance_scale=7\.5; call it with 1"):
        sampled(pipe, 7.5, **negative())


def test_what_has_no_empty_counterpart_is_refused(unet) -> None:
    pipe = published(StableDiffusionPipeline, unet)
    x = torch.zeros(2, 4, 16, 24)
    with guided(pipe, CFG(S), NULL) as stand_in:
        with pytest.raises(ValueError, match="conditions on text_embeds too"):
            stand_in(x, 500, EMBEDDING, added_cond_kwargs={"text_embeds": EMBEDDING})
        with pytest.raises(ValueError, match="2 empty prompts cannot go with 3 images"):
            GuidedUNet(pipe, CFG(S), EMBEDDING)._empty(torch.zeros(3, 5, 32))


def test_noise_levels_are_those_of_the_training_and_between_them_in_order() -> None:
    scheduler = ddim()
    alpha = scheduler.alphas_cumprod.double()
    expected = ((1 - alpha[400]) / alpha[400]).sqrt()
    assert noise_level(scheduler, torch.tensor(400)) == pytest.approx(float(expected), rel=1e-12)
    assert noise_level(scheduler, 400) < noise_level(scheduler, 400.5) < noise_level(scheduler, 401)


def test_an_infinite_noise_level_is_refused() -> None:
    scheduler = DDIMScheduler.from_config(ddim().config, rescale_betas_zero_snr=True)
    with pytest.raises(ValueError, match="rescale_betas_zero_snr=False"):
        noise_level(scheduler, 999)
