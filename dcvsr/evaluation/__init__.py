"""Evaluation of upscalers on clips, and calibration of the metrics against published scores."""
