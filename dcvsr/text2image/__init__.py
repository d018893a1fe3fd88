"""Text-to-image experiment of Table 3: our guidances in Stable Diffusion, scored by IS and FID."""
