"""Logging of the page's tables and media as one wandb run."""

from collections.abc import Sequence
from typing import Any

import wandb
from lightning.pytorch.loggers import WandbLogger

from dcvsr.report.clip_differences import COLUMNS, Deltas, lines
from dcvsr.report.clip_section import ClipSection
from dcvsr.report.table import Table
from dcvsr.runtime.wandb_login import wandb_errors


def publish(
    logger: WandbLogger, tables: Sequence[Table], deltas: Sequence[Deltas], views: Sequence[ClipSection]
) -> None:
    """Log everything and finish the run."""
    try:
        with wandb_errors():
            run = logger.experiment
        run.log(_tables(tables, deltas) | _media(views))
    finally:
        wandb.finish()


def _tables(tables: Sequence[Table], deltas: Sequence[Deltas]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for number, table in enumerate(tables, 1):
        rows = [[row.label, *(cell.text for cell in row.cells)] for row in table.rows]
        key = f"report/table {number}: {table.title} ({table.dataset})"
        content[key] = wandb.Table(columns=["row", *table.columns], data=rows)
        compared = [
            [row.label, *(cell.difference for cell in row.cells)]
            for row in table.rows
            if any(cell.difference for cell in row.cells)
        ]
        if compared:
            content[f"{key}, differences"] = wandb.Table(
                columns=[f"{table.reference} minus", *table.columns], data=compared
            )
    if deltas:
        content["report/clip by clip"] = wandb.Table(columns=list(COLUMNS), data=list(lines(deltas)))
    return content


def _media(views: Sequence[ClipSection]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for view in views:
        key = f"report/{view.scene.dataset}/{view.scene.clip}"
        videos = {label: path for label, path in view.scene.videos.items() if path.suffix == ".mp4"}
        groups = {
            "videos": [wandb.Video(str(path), caption=label) for label, path in videos.items()],
            "worst crops": [
                wandb.Image(picture.pixels, caption=f"{number} {picture.label}")
                for number, crop in enumerate(view.crops, 1)
                for picture in crop.pictures
            ],
            "x-t slices": [
                wandb.Image(picture.pixels, caption=f"{picture.label}, line {view.line}")
                for picture in view.slices
            ],
        }
        content |= {f"{key}/{name}": group for name, group in groups.items() if group}
    return content
