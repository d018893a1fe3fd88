"""Creation and verification of LR sets, which others can rebuild bit for bit."""
