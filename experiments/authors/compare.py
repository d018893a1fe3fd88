"""Rank the readings of the paper by distance to a result of its authors.

  python experiments/authors/compare.py lr=CLIP sr=RESULT scale=svd ckpt=FILE
  python experiments/authors/compare.py lr=CLIP sr=RESULT frames=14 readings=a11,a16_wide dry_run=true

lr is a low-resolution clip, and sr the authors' x4 result of it: video files, or folders of frames. The clip
is upscaled under the settings given, which are the default, and under each reading of conf/alternative.yaml.

  frames=N        the first N frames of both (all)
  seeds=K         run the default with K seeds, from seed on, to measure its spread (3)
  readings=A,B    only these readings: names, or items such as a11 (all)
  output=FOLDER   of ranking.md, .csv and .json (outputs/authors/CLIP); the same command resumes
  dry_run=true    print the readings and their evaluations, and stop
  another key     a setting of python -m dcvsr.upscale: seed=1, guidance=dssag, +alternative=a11_half
"""

import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf
from ranking import CSV, csv_rows, markdown, ranking
from readings import Networks, applied, chosen_readings, plain
from upscalings import content, planned, run

from dcvsr.runtime.arguments import root
from dcvsr.runtime.cli import CONF, fail, preflight, prepared
from dcvsr.runtime.composition import composed, own_hydra, refuse_unknown_and_missing, user_errors
from dcvsr.runtime.errors import UserError
from dcvsr.runtime.files import file_sha256, read_json, write_whole

if TYPE_CHECKING:
    from torch import Tensor

HERE = Path(__file__).resolve().parent
OWN = {"lr", "sr", "output", "frames", "seeds", "readings", "dry_run"}
OF_VIDEOS = {"input", "crf", "fps", "debug"}
"""Keys of python -m dcvsr.upscale that concern the video that it writes."""
METRICS = ("psnr", "lpips", "dists", "sharpness")
"""Options of conf/metrics.yaml."""


@dataclass(frozen=True)
class Asked:
    command: str
    lr: Path
    sr: Path
    output: Path
    frames: int | None
    seeds: int
    readings: list[str]
    dry_run: bool
    overrides: list[str]


def arguments(argv: Sequence[str]) -> Asked:
    own, overrides = {}, []
    for argument in argv:
        key, equals, value = argument.partition("=")
        if not equals and not key.startswith("~"):
            raise UserError(f"{argument} is not KEY=VALUE; --help shows an example")
        if root(key.lstrip("~")) in OF_VIDEOS:
            raise UserError(f"{argument} is not a key of this script: it writes scores, and no video")
        if key in OWN:
            own[key] = value
        else:
            overrides.append(argument)
    if missing := [f"{key}=..." for key in ("lr", "sr") if not own.get(key)]:
        raise UserError(f"missing {', '.join(missing)}; --help shows an example")
    lr, sr = (Path(own[key]).expanduser() for key in ("lr", "sr"))
    if (dry_run := own.get("dry_run", "false")) not in ("true", "false"):
        raise UserError(f"dry_run={dry_run} is not true or false")
    return Asked(
        shlex.join(["python", "experiments/authors/compare.py", *argv]),
        lr,
        sr,
        Path(own.get("output") or f"outputs/authors/{lr.stem}").expanduser(),
        _number("frames", own["frames"]) if "frames" in own else None,
        _number("seeds", own.get("seeds", "3")),
        [name for name in own.get("readings", "all").strip("[]").split(",") if name != "all"],
        dry_run == "true",
        overrides,
    )


def _number(key: str, text: str) -> int:
    if not (text.isdecimal() and int(text)):
        raise UserError(f"{key}={text} is not a number of {key}; give 1 or more")
    return int(text)


def read_clips(asked: Asked) -> "tuple[Tensor, Tensor]":
    """Read LR and the authors' result, uint8 ``f c h w``.

    Raises:
        UserError: if their lengths differ, if the result is not exactly four times as large, or if both have
            fewer than ``frames`` frames.
    """
    from dcvsr.imaging import FACTOR
    from dcvsr.video.io import read_video

    lr, sr = (read_video(path).frames for path in (asked.lr, asked.sr))
    if len(lr) != len(sr):
        raise UserError(
            f"{asked.sr} has {len(sr)} frames and {asked.lr} has {len(lr)}; give two clips of the same frames"
        )
    (height, width), found = lr.shape[-2:], sr.shape[-2:]
    if found != (FACTOR * height, FACTOR * width):
        raise UserError(
            f"{asked.sr} is {found[1]}x{found[0]} and {asked.lr} is {width}x{height}; "
            f"its x{FACTOR} result is {FACTOR * width}x{FACTOR * height}"
        )
    if asked.frames is not None and asked.frames > len(lr):
        raise UserError(f"frames={asked.frames} is more than {asked.lr} has; give 1 to {len(lr)}")
    return lr[: asked.frames], sr[: asked.frames]


def compare(asked: Asked) -> None:
    """Upscale, rank and write the ranking; a dry run prints the plan."""
    given = prepared(["input=null", "output=null", *asked.overrides])
    base = composed("upscale", given)
    refuse_unknown_and_missing(base, "upscale", given)
    if "denoiser" not in base.upscaler:
        raise UserError("readings are of DC-VSR; use upscaler=dcvsr")
    readings = chosen_readings(asked.readings)
    lr, sr = read_clips(asked)
    preflight(base)
    from dcvsr.runtime.available import available
    from dcvsr.runtime.device import require_memory
    from dcvsr.runtime.hashing import digest
    from dcvsr.runtime.provenance import describe

    listed = OmegaConf.load(CONF / "metrics.yaml")
    metrics, missing = available(OmegaConf.merge(*(listed[name] for name in METRICS)))
    networks = Networks(base)
    require_memory(lambda n: networks.upscaler.memory(n, *lr.shape[-2:]), len(lr), networks.device)
    settings, left_out = applied(base, readings)
    seeds = range(base.seed, base.seed + asked.seeds)
    about = content(networks.upscaler, lr, sr, list(metrics))
    tasks = planned(base, seeds, settings, networks, lr, about, asked.output / "results")
    todo = [task for task in tasks if not task.path.is_file()]
    print(f"{asked.lr}: {len(lr)} frames of {lr.shape[3]}x{lr.shape[2]}")
    print(f"weights: {networks.upscaler.origin or 'none'}")
    for task in tasks:
        done = ", already done" if task.path.is_file() else ""
        print(f"{task.reading}, seed {task.seed}: {task.work} evaluations{done}")
    for name, reason in left_out.items():
        print(f"{name}: left out, {reason}")
    work = sum(task.work for task in todo)
    print(f"to do: {len(todo)} of {len(tasks)} upscalings, {work} evaluations", flush=True)
    if asked.dry_run:
        return
    _require_writable(asked.output)
    report = {
        "command": asked.command,
        "commit": _commit(),
        "lr": _described(asked.lr, lr),
        "sr": {**_described(asked.sr, sr), "lossless": _is_lossless(asked.sr)},
        **describe(networks.upscaler.origin, base.seed, networks.device),
        "seeds": list(seeds),
        "settings": plain(base),
        "missing": missing,
        "left_out": left_out,
    }
    run(todo, networks, lr, sr, metrics)
    write(asked, [read_json(task.path) for task in tasks], digest(sr), report)


def write(asked: Asked, results: Sequence[Any], authors: str, report: Mapping[str, Any]) -> None:
    """Write the ranking as Markdown, CSV and JSON, and print it."""
    from dcvsr.runtime.provenance import write_csv, write_json

    found = ranking(results, authors)
    rows = [
        {**row.result, "mean_rank": row.mean_rank, "against_default": row.verdict}
        for row in (*found.rows, *found.others)
    ]
    page = markdown(found, f"Readings compared with {asked.sr.name}", report)
    write_csv(asked.output / "ranking.csv", CSV, csv_rows(found))
    write_whole(asked.output / "ranking.md", page)
    write_json(asked.output / "ranking.json", {**report, "spread": found.spread, "ranking": rows})
    print(f"\n{page}\nranking: {asked.output}/ranking.md, ranking.csv, ranking.json")


def _described(path: Path, frames: "Tensor") -> dict[str, Any]:
    """Describe the frames that were compared; the hash of a file covers all of its frames."""
    from dcvsr.evaluation.inputs import InputClip
    from dcvsr.video.io import to_unit

    return {
        "path": str(path),
        "frames": len(frames),
        "size": [frames.shape[3], frames.shape[2]],
        "pixels_sha256": InputClip(to_unit(frames), None, None).digest,
        "file_sha256": file_sha256(path) if path.is_file() else None,
    }


def _is_lossless(path: Path) -> bool:
    from dcvsr.video.frame_folder import frame_paths

    return path.is_dir() and all(frame.suffix.lower() == ".png" for frame in frame_paths(path))


def _require_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror}; give another output=") from error


def _commit() -> str | None:
    """Return the commit of this checkout, with -dirty if files are changed; None outside git."""
    command = ["git", "-C", os.fspath(HERE), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def main(argv: Sequence[str] | None = None) -> None:
    given = sys.argv[1:] if argv is None else list(argv)
    if {"--help", "-h"} & {*given}:
        print(__doc__)
        return
    try:
        with own_hydra(), user_errors("upscale"):
            compare(arguments(given))
    except UserError as error:
        fail(str(error))
    except KeyboardInterrupt:
        fail("interrupted", 130)


if __name__ == "__main__":
    main()
