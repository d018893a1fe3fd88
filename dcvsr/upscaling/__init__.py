"""The job of the command ``upscale``: a video of any length, resumed after any end."""
