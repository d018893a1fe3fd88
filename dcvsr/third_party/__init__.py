"""Packages that need a fence: each is imported in one file here, and nowhere else."""
