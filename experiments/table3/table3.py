"""Table 3: Stable Diffusion guided by SAG, PAG and DSSAG, scored by Inception Score and FID.

With --pipeline, real weights; without, a small random Stable Diffusion built in place, whose images mean
nothing, but which runs the same code in seconds. A run that was stopped goes on where it was.
"""

import argparse
import json
import random
import socket
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from einops import rearrange
from PIL import Image, ImageOps

from dcvsr.cli import fail
from dcvsr.errors import UserError
from dcvsr.files import read_json, read_text, write_whole
from dcvsr.weights import sha256

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

PAPER = {
    "sag": {"is": 33.70, "fid": 16.31, "forwards": 3},
    "pag": {"is": 36.76, "fid": 16.27, "forwards": 3},
    "dssag": {"is": 36.04, "fid": 15.20, "forwards": 2},
}
COLUMNS = (("is", 2), ("fid", 2), ("forwards", 0))
GUIDANCES = ("none", "cfg", "sag", "pag", "dssag")
INCEPTION = "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth"
CAPTIONS = ["a red bus in a street", "two dogs on a beach", "a plate of food", "a man who rides a wave"]
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter, allow_abbrev=False
    )
    add = parser.add_argument
    add("--pipeline", help="folder in diffusers' layout or OWNER/NAME on the hub: Stable Diffusion 1 or 2")
    add("--captions", type=Path, help="COCO's captions_val2014.json, or a text file with one a line")
    add("--images", type=Path, help="folder of real images, for FID")
    add("--inception", type=Path, help="Inception's weights, if not in torch hub's cache or to be fetched")
    add("--count", type=int, help="images of each guidance; None: 10000 with --pipeline, else 4")
    add("--seed", type=int, default=0, help="of captions and noise")
    add("--guidance", nargs="+", choices=GUIDANCES, default=["sag", "pag", "dssag"])
    add("--steps", type=int, default=50, help="of DDIM")
    add("--scale", type=float, default=6.5, help="s of Eq. (3): diffusers' guidance_scale less one")
    add("--sag-scale", type=float, default=0.75, help="s of Eq. (5)")
    add("--pag-scale", type=float, default=3.0, help="s of Eq. (6)")
    add("--rho", type=float, default=0.5, help="of Eq. (10)")
    add("--batch", type=int, default=4, help="images made together")
    add("--device", default="auto", help="auto, cpu or cuda")
    add("--output", type=Path, default=Path("outputs/table3"))
    return parser.parse_args(argv)


def checked(args: argparse.Namespace) -> argparse.Namespace:
    """Refuse what cannot go well, before anything slow is imported."""
    if args.count is None:
        args.count = 10_000 if args.pipeline else 4
    for name, least in (("count", 1), ("steps", 2), ("batch", 1)):
        if getattr(args, name) < least:
            raise UserError(f"--{name} must be at least {least}, got {getattr(args, name)}")
    if args.rho < 0:
        raise UserError(f"--rho must be at least 0, got {args.rho}")
    if args.pipeline and not args.captions:
        raise UserError("--pipeline needs --captions, COCO's captions_val2014.json or a text file")
    if args.images and min(args.count, found := len(real_images(args.images))) < 2:
        raise UserError(f"FID needs two images or more: {args.images} holds {found}, --count is {args.count}")
    if args.inception and not args.inception.is_file():
        raise UserError(f"there is no file {args.inception}; give Inception's weights, {INCEPTION}")
    return args


def real_images(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    except OSError as error:
        raise UserError(f"cannot read {folder}: {error.strerror}; give a folder of images") from error


def prompts(path: Path | None, count: int, seed: int) -> list[str]:
    """``count`` captions in random order, the same first ones whatever ``count`` is."""
    if path is None:
        return [CAPTIONS[i % len(CAPTIONS)] for i in range(count)]
    captions = _coco(path) if path.suffix == ".json" else read_text(path).splitlines()
    captions = [caption for line in captions if (caption := line.strip())]
    if len(captions) < count:
        raise UserError(f"{path} has {len(captions)} captions, {count} are needed; lower --count")
    random.Random(seed).shuffle(captions)
    return captions[:count]


def _coco(path: Path) -> list[str]:
    try:
        return [str(annotation["caption"]) for annotation in read_json(path)["annotations"]]
    except (KeyError, TypeError) as error:
        raise UserError(f"{path} is no captions file of COCO: it lacks annotations[].caption") from error


def pretrained(source: str, device: "torch.device") -> Any:
    """Stable Diffusion from a folder or the hub, with DDIM; half precision on a GPU."""
    import torch
    from diffusers import DDIMScheduler, StableDiffusionPipeline

    dtype = torch.float16 if device.type == "cuda" else torch.float32
    try:
        pipe = StableDiffusionPipeline.from_pretrained(
            source, torch_dtype=dtype, safety_checker=None, requires_safety_checker=False
        )
    except Exception as error:  # diffusers raises whatever the file it stumbles over makes it raise
        raise UserError(f"cannot load --pipeline {source}: {' '.join(str(error).split())[:300]}") from error
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    return pipe.to(device)


def small_random() -> Any:
    """A Stable Diffusion of 64x64 pixels with random weights, and a tokenizer that spells."""
    import torch
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    alphabet = "abcdefghijklmnopqrstuvwxyz0123456789.,'-"
    words = [*alphabet, *(letter + "</w>" for letter in alphabet), "<|startoftext|>", "<|endoftext|>"]
    text = CLIPTextConfig(
        vocab_size=len(words),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=77,
        bos_token_id=len(words) - 2,
        eos_token_id=len(words) - 1,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        vae = AutoencoderKL(
            block_out_channels=(16, 16, 32, 32),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            latent_channels=4,
            norm_num_groups=8,
        )
        unet = UNet2DConditionModel(
            sample_size=8,
            block_out_channels=(32, 64),
            layers_per_block=1,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            cross_attention_dim=32,
            attention_head_dim=4,
            norm_num_groups=8,
        )
        text_encoder = CLIPTextModel(text)
    noise = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
    return StableDiffusionPipeline(
        vae=vae.eval(),
        text_encoder=text_encoder.eval(),
        tokenizer=CLIPTokenizer({word: i for i, word in enumerate(words)}, merges=[], model_max_length=77),
        unet=unet.eval(),
        scheduler=DDIMScheduler(**noise, clip_sample=False, set_alpha_to_one=False),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def guidance(name: str, args: argparse.Namespace, scheduler: Any) -> Any:
    """Ours of that name; sigma_T and sigma_0 of Eq. (10) are the sampler's last and first noise level."""
    from dcvsr.diffusion.guidance import CFG, DSSAG, PAG, SAG, NoGuidance
    from dcvsr.models.image import noise_level

    scheduler.set_timesteps(args.steps)
    sigma_min, sigma_max = (noise_level(scheduler, scheduler.timesteps[i]) for i in (-1, 0))
    return {
        "none": NoGuidance(),
        "cfg": CFG(args.scale),
        "sag": SAG(args.scale, args.sag_scale),
        "pag": PAG(args.scale, args.pag_scale, layers="mid"),
        "dssag": DSSAG(args.scale, args.rho, sigma_min, sigma_max),
    }[name]


def generate(pipe: Any, name: str, captions: list[str], args: argparse.Namespace) -> float:
    """Make the images that ``--output`` lacks, each of noise of its own; U-Net evaluations per iteration."""
    import torch
    from tqdm import tqdm

    from dcvsr.models.image import guided

    ours, folder = guidance(name, args, pipe.scheduler), args.output / name
    run = resumed(folder / "run.json", settings(pipe, ours, args))
    todo = [i for i in range(len(captions)) if not image_file(folder, i).exists()]
    with torch.no_grad():
        null, _ = pipe.encode_prompt("", pipe.device, 1, do_classifier_free_guidance=False)
    with guided(pipe, ours, null) as unet, tqdm(total=len(captions), desc=name, unit="image") as bar:
        bar.update(len(captions) - len(todo))
        for start in range(0, len(todo), args.batch):
            batch = todo[start : start + args.batch]
            seeds = [random.Random(f"{args.seed}/{i}").getrandbits(63) for i in batch]
            images = pipe(
                [captions[i] for i in batch],
                num_inference_steps=args.steps,
                guidance_scale=1,
                generator=[torch.Generator().manual_seed(seed) for seed in seeds],
            ).images
            run["forwards"] = unet.forwards / unet.iterations
            write_whole(folder / "run.json", json.dumps(run, indent=2))
            for i, image in zip(batch, images, strict=True):
                save(image, image_file(folder, i))
            bar.update(len(batch))
    return run["forwards"]


def image_file(folder: Path, i: int) -> Path:
    return folder / f"{i:05d}.png"


def save(image: Image.Image, path: Path) -> None:
    """Write ``path`` whole or not at all."""
    partial = path.with_suffix(".part")
    try:
        image.save(partial, "PNG")
        partial.replace(path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error}; the same command goes on from here") from error


def settings(pipe: Any, ours: Any, args: argparse.Namespace) -> dict[str, Any]:
    """What images of one folder have in common."""
    numbers = {key: value for key, value in vars(ours).items() if isinstance(value, int | float)}
    return {
        "pipeline": args.pipeline,
        "precision": str(pipe.unet.dtype),
        "captions": args.captions and sha256(args.captions),
        "seed": args.seed,
        "steps": args.steps,
        **numbers,
    }


def resumed(path: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """The run that ``path`` tells of, if it was one with the same settings, or a new one."""
    if not path.exists():
        run = {"settings": settings, "forwards": None}
        write_whole(path, json.dumps(run, indent=2))
        return run
    run = read_json(path)
    before = run["settings"]
    if other := [key for key in {**before, **settings} if before.get(key) != settings.get(key)]:
        changes = ", ".join(f"{key} {before.get(key)} there, {settings.get(key)} here" for key in other)
        raise UserError(f"{path.parent} holds images of another run ({changes}); give another --output")
    return run


def inception_weights(path: Path | None) -> Path:
    """The file of Inception's weights that torchmetrics uses, fetched if need be.

    Raises:
        OSError: if it cannot be fetched.
        UserError: if it is another file.
    """
    import torch

    name = INCEPTION.rpartition("/")[2]
    digest = Path(name).stem.rpartition("-")[2]
    if path is None:
        path = Path(torch.hub.get_dir()) / "checkpoints" / name
        path.parent.mkdir(parents=True, exist_ok=True)
    if not path.is_file():
        socket.setdefaulttimeout(10)  # torch's download has none
        torch.hub.download_url_to_file(INCEPTION, str(path), digest)
    if not sha256(path).startswith(digest):
        raise UserError(f"{path}: expected SHA-256 {digest}, found {sha256(path)}; give {INCEPTION}")
    return path


def inception(output: str, path: Path | None) -> "nn.Module":
    """Images ``b 3 h w`` of bytes -> ``b d``."""
    from torchmetrics.image.fid import NoTrainInceptionV3

    return NoTrainInceptionV3("inception-v3-compat", [output], str(inception_weights(path)))


def score(made: dict[str, list[Path]], args: argparse.Namespace, device: "torch.device") -> dict[str, Any]:
    """IS of each guidance's images and, where there are real ones, their FID; nothing without Inception."""
    import torch
    from torchmetrics.image.fid import FrechetInceptionDistance
    from torchmetrics.image.inception import InceptionScore

    try:
        quality = InceptionScore(inception("logits_unbiased", args.inception)).to(device)
        distance = FrechetInceptionDistance(inception("2048", args.inception), reset_real_features=False)
    except (OSError, RuntimeError, ModuleNotFoundError) as error:
        note(f"no IS and FID, for want of Inception's weights or of torch-fidelity: {error}; see --inception")
        return {}
    distance.to(device)
    size = opened(next(iter(made.values()))[0]).size
    for batch in batches(real_images(args.images) if args.images else [], size, args.batch, "real"):
        distance.update(batch.to(device), real=True)
    scores = {}
    for name, paths in made.items():
        quality.reset()
        distance.reset()
        for batch in batches(paths, size, args.batch, f"{name}, scores"):
            quality.update(batch.to(device))
            distance.update(batch.to(device), real=False)
        with torch.random.fork_rng():
            torch.manual_seed(args.seed)  # IS splits the images at random
            scores[name] = {"is": float(quality.compute()[0])}
        if args.images:
            scores[name]["fid"] = float(distance.compute())
    if not args.images:
        note("no FID, for want of --images")
    return scores


def note(message: str) -> None:
    print(f"table3: {' '.join(message.split())}", file=sys.stderr)


def batches(paths: list[Path], size: tuple[int, int], count: int, title: str) -> "Iterator[Tensor]":
    """Bytes ``b 3 h w``; real photographs are cropped to the shape of ours and resized."""
    import numpy as np
    import torch
    from tqdm import tqdm

    with tqdm(total=len(paths), desc=title, unit="image", disable=not paths) as bar:
        for start in range(0, len(paths), count):
            batch = [ImageOps.fit(opened(path), size) for path in paths[start : start + count]]
            yield rearrange(torch.from_numpy(np.stack(batch)), "b h w c -> b c h w")
            bar.update(len(batch))


def opened(path: Path) -> Image.Image:
    try:
        return Image.open(path).convert("RGB")
    except OSError as error:
        raise UserError(f"cannot read the image {path} ({error}); remove it") from error


def table(rows: dict[str, dict[str, Any]]) -> str:
    """The results beside the paper's, in Markdown; what was not measured is left empty."""

    def cell(value: float | None, digits: int) -> str:
        return "" if value is None else f"{value:.{digits}f}"

    lines = [
        "| guidance | images | IS | FID | forwards per iteration | paper: IS | FID | forwards |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        numbers = [cell(x.get(key), n) for x in (row, PAPER.get(name, {})) for key, n in COLUMNS]
        lines.append("| " + " | ".join([name, str(row["images"]), *numbers]) + " |")
    return "\n".join(lines) + "\n"


def run(args: argparse.Namespace) -> None:
    captions = prompts(args.captions, args.count, args.seed)
    from dcvsr.device import choose
    from dcvsr.provenance import describe

    device = choose(args.device)
    pipe = pretrained(args.pipeline, device) if args.pipeline else small_random().to(device)
    pipe.set_progress_bar_config(disable=True)
    forwards = {name: generate(pipe, name, captions, args) for name in args.guidance}
    made = {name: [image_file(args.output / name, i) for i in range(args.count)] for name in args.guidance}
    scores = score(made, args, device)
    rows = {
        name: {"images": args.count, "forwards": forwards[name], **scores.get(name, {})}
        for name in args.guidance
    }
    report = {"pipeline": args.pipeline or "small, random weights", "results": rows, "paper": PAPER}
    report |= describe(None, args.seed, device)
    write_whole(args.output / "results.json", json.dumps(report, indent=2))
    write_whole(args.output / "results.md", table(rows))
    print(table(rows), end="")


def main(argv: Sequence[str] | None = None) -> None:
    try:
        run(checked(arguments(argv)))
    except UserError as error:
        fail(str(error))
    except KeyboardInterrupt:
        fail("interrupted; the same command goes on from here", 130)


if __name__ == "__main__":
    main()
