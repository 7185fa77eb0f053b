"""Demo: a small shop with simulated visitors, and a terminal in which its experiments are decided."""
