"""Lightning module and callbacks of training."""
