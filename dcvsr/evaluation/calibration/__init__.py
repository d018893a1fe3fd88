"""Calibration: the conventions that reproduce published scores."""
