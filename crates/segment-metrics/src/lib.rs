//! Entropy segments with hand-crafted metrics, and pixel histograms
