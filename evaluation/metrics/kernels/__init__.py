"""Kernels: what numba compiles of the unit store. They take tables (layouts.py) and change them in place."""
