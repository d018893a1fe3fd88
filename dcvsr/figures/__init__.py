"""The paper's figures, of any clips: where to look, what to show, and how it is drawn."""
