"""Pretrained weights: search, download and verification; importable without torch and the hub."""

from dcvsr.weights.backbones import features
from dcvsr.weights.snapshots import require_weights, snapshot

__all__ = ["features", "require_weights", "snapshot"]
