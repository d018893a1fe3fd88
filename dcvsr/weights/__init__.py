"""Pretrained weights: found, fetched and verified; to import this costs milliseconds (no torch, no hub)."""

from dcvsr.weights.backbones import features
from dcvsr.weights.snapshots import require_snapshot, snapshot

__all__ = ["features", "require_snapshot", "snapshot"]
