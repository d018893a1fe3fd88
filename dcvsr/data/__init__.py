"""Clips, datasets and data loading for training, validation and evaluation."""
