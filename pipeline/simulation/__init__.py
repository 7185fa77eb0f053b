"""Simulation: how often the inference errs, counted over populations that are drawn."""
