"""The paper's figures for any clips: choice of frames and boxes, results to compare, and drawing."""
