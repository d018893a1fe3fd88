"""Our guidances in diffusers' pipelines against diffusers' own guided pipelines."""

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

from dcvsr.diffusion.guidance import CFG, DSSAG, PAG, SAG, Maxima, NoGuidance
from dcvsr.runtime.errors import UserError
from dcvsr.text2image.guided_unet import GuidedUNet, guided, noise_level

EMBEDDING = torch.randn(2, 5, 32, generator=torch.Generator().manual_seed(1))
NULL = torch.randn(1, 5, 32, generator=torch.Generator().manual_seed(2))
STEPS = 3
S = 1.5


@pytest.fixture(scope="module")
def unet() -> UNet2DConditionModel:
    """Small U-Net of Stable Diffusion's architecture, with attention far from uniform."""
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


def pipeline(kind: type, unet: UNet2DConditionModel, scheduler: object = None, **others: object):
    """A diffusers pipeline without VAE and text encoder."""
    nothing = dict.fromkeys(("vae", "text_encoder", "tokenizer", "safety_checker", "feature_extractor"))
    pipe = kind(unet=unet, scheduler=scheduler or ddim(), requires_safety_checker=False, **nothing, **others)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def ddim(prediction: str = "epsilon") -> DDIMScheduler:
    """DDIM with the noise schedule of Stable Diffusion."""
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
    """Latents of two prompts with two images each after a few steps."""
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
    with guided(pipe, guidance, null) as guided_unet:
        return sampled(pipe, 1), guided_unet


def negative() -> dict[str, Tensor]:
    return {"negative_prompt_embeds": NULL.expand_as(EMBEDDING)}


def deviation(a: Tensor, b: Tensor) -> float:
    """Largest difference in standard deviations of ``b``."""
    return float((a - b).abs().max() / b.std())


def dssag(scale: float, maxima: Maxima = "head") -> DSSAG:
    return DSSAG(scale, rho=0.5, sigma_min=0.03, sigma_max=14.6, maxima=maxima)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_no_guidance_equals_the_plain_pipeline(unet, prediction: str) -> None:
    pipe = pipeline(StableDiffusionPipeline, unet, ddim(prediction))
    latents, guided_unet = ours(pipe, NoGuidance())
    assert deviation(latents, sampled(pipe, 1)) < 1e-4
    assert guided_unet.forwards == guided_unet.iterations == STEPS


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_cfg_equals_diffusers_with_scale_one_plus_s(unet, prediction: str) -> None:
    pipe = pipeline(StableDiffusionPipeline, unet, ddim(prediction))
    latents, guided_unet = ours(pipe, CFG(S))
    assert deviation(latents, sampled(pipe, 1 + S, **negative())) < 1e-4
    assert deviation(latents, sampled(pipe, 1)) > 0.01
    assert guided_unet.forwards == 2 * STEPS


def test_cfg_equals_diffusers_between_timesteps(unet) -> None:
    scheduler = EulerDiscreteScheduler.from_config(ddim().config, use_karras_sigmas=True)
    pipe = pipeline(StableDiffusionPipeline, unet, scheduler)
    latents, _ = ours(pipe, CFG(S))
    assert any(float(t) % 1 for t in scheduler.timesteps)
    assert deviation(latents, sampled(pipe, 1 + S, **negative())) < 1e-4


def test_each_prompt_may_have_its_own_negative_prompt(unet) -> None:
    pipe, null = pipeline(StableDiffusionPipeline, unet), EMBEDDING.flip(-1)
    latents, _ = ours(pipe, CFG(S), null)
    assert deviation(latents, sampled(pipe, 1 + S, negative_prompt_embeds=null)) < 1e-4


def test_sag_equals_diffusers(unet) -> None:
    pipe = pipeline(StableDiffusionSAGPipeline, unet)
    latents, guided_unet = ours(pipeline(StableDiffusionPipeline, unet), SAG(S, detail_scale=2))
    assert deviation(latents, sampled(pipe, 1 + S, sag_scale=2, **negative())) < 1e-4
    assert deviation(latents, sampled(pipe, 1 + S, sag_scale=0, **negative())) > 0.01
    assert guided_unet.forwards == 3 * STEPS


def test_sag_without_cfg_equals_diffusers(unet) -> None:
    pipe = pipeline(StableDiffusionSAGPipeline, unet)
    guidance = SAG(S, detail_scale=2, uncond="keep_all")
    latents, guided_unet = ours(pipeline(StableDiffusionPipeline, unet), guidance)
    assert deviation(latents, sampled(pipe, 1, sag_scale=2)) < 1e-4
    assert guided_unet.forwards == 2 * STEPS


def test_keep_latent_is_rejected_for_a_prompt(unet) -> None:
    with pytest.raises(UserError, match="uncond=keep_latent is not a choice for a prompt: choose zero_all"):
        ours(pipeline(StableDiffusionPipeline, unet), CFG(S, uncond="keep_latent"))


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_pag_equals_diffusers(unet, prediction: str) -> None:
    pipe = pipeline(
        StableDiffusionPAGPipeline, unet, ddim(prediction), image_encoder=None, pag_applied_layers="mid"
    )
    guidance = PAG(S, detail_scale=3, layers="mid")
    latents, guided_unet = ours(pipeline(StableDiffusionPipeline, unet, ddim(prediction)), guidance)
    assert deviation(latents, sampled(pipe, 1 + S, pag_scale=3, **negative())) < 1e-4
    assert deviation(latents, sampled(pipe, 1 + S, pag_scale=0, **negative())) > 0.01
    assert guided_unet.forwards == 3 * STEPS


def test_pag_without_cfg_equals_diffusers(unet) -> None:
    pipe = pipeline(StableDiffusionPAGPipeline, unet, image_encoder=None, pag_applied_layers="mid")
    guidance = PAG(S, detail_scale=3, layers="mid", uncond="keep_all")
    latents, guided_unet = ours(pipeline(StableDiffusionPipeline, unet), guidance)
    assert deviation(latents, sampled(pipe, 1, pag_scale=3)) < 1e-4
    assert guided_unet.forwards == 2 * STEPS


def test_dssag_with_cfg_takes_two_evaluations_per_step(unet) -> None:
    pipe = pipeline(StableDiffusionPipeline, unet)
    latents, guided_unet = ours(pipe, dssag(S))
    assert guided_unet.forwards == 2 * guided_unet.iterations == 2 * STEPS
    assert deviation(latents, sampled(pipe, 1 + S, **negative())) > 1e-3


def test_maxima_per_head_keep_images_of_a_batch_independent(unet) -> None:
    pipe = pipeline(StableDiffusionPipeline, unet)
    x = torch.randn(2, 4, 16, 24, generator=torch.Generator().manual_seed(4))

    def influence(maxima: Maxima) -> float:
        with guided(pipe, dssag(S, maxima), NULL) as guided_unet, torch.no_grad():
            both = guided_unet(x, 500, EMBEDDING).sample
            (alone,) = guided_unet(x[1:], 500, EMBEDDING[1:], return_dict=False)
        return deviation(both[1:], alone)

    assert influence("head") < 1e-4
    assert influence("tile") > 1e-3


@pytest.mark.parametrize(
    "guidance",
    [CFG(0), SAG(0, detail_scale=0), PAG(0, detail_scale=0, layers="propagated"), dssag(0)],
    ids=lambda guidance: type(guidance).__name__,
)
def test_scale_zero_equals_no_guidance(unet, guidance) -> None:
    pipe = pipeline(StableDiffusionPipeline, unet)
    latents, _ = ours(pipe, guidance)
    assert deviation(latents, sampled(pipe, 1)) < 1e-5


def test_half_precision_is_kept(unet) -> None:
    pipe = pipeline(StableDiffusionPipeline, copy.deepcopy(unet).bfloat16())
    latents, _ = ours(pipe, NoGuidance())
    assert latents.dtype == torch.bfloat16
    assert deviation(latents.float(), sampled(pipe, 1).float()) < 0.1


def test_the_pipeline_is_restored_after_an_error(unet) -> None:
    pipe = pipeline(StableDiffusionPipeline, unet)
    config, processors = dict(pipe.config), unet.attn_processors

    def stopped() -> None:
        with guided(pipe, CFG(S), NULL) as guided_unet:
            assert pipe.unet is guided_unet
            assert (guided_unet.config, guided_unet.dtype, guided_unet.device) == (
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


def test_a_pipeline_with_its_own_guidance_is_rejected(unet) -> None:
    pipe = pipeline(StableDiffusionPipeline, unet)
    with guided(pipe, CFG(S), NULL), pytest.raises(ValueError, match=r"guidance_scale=7\.5; call it with 1"):
        sampled(pipe, 7.5, **negative())


def test_conditions_without_an_empty_counterpart_are_rejected(unet) -> None:
    pipe = pipeline(StableDiffusionPipeline, unet)
    x = torch.zeros(2, 4, 16, 24)
    with guided(pipe, CFG(S), NULL) as guided_unet:
        with pytest.raises(ValueError, match="conditions on text_embeds too"):
            guided_unet(x, 500, EMBEDDING, added_cond_kwargs={"text_embeds": EMBEDDING})
        with pytest.raises(ValueError, match="2 empty prompts cannot go with 3 images"):
            GuidedUNet(pipe, CFG(S), EMBEDDING)._empty(torch.zeros(3, 5, 32))


def test_noise_levels_match_training_and_increase_between_timesteps() -> None:
    scheduler = ddim()
    alpha = scheduler.alphas_cumprod.double()
    expected = ((1 - alpha[400]) / alpha[400]).sqrt()
    assert noise_level(scheduler, torch.tensor(400)) == pytest.approx(float(expected), rel=1e-12)
    assert noise_level(scheduler, 400) < noise_level(scheduler, 400.5) < noise_level(scheduler, 401)


def test_an_infinite_noise_level_is_rejected() -> None:
    scheduler = DDIMScheduler.from_config(ddim().config, rescale_betas_zero_snr=True)
    with pytest.raises(ValueError, match="rescale_betas_zero_snr=False"):
        noise_level(scheduler, 999)
