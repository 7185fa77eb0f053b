"""On call: whether the installation works, and what mends what does not."""
