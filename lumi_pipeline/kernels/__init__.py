"""Loops over Arrow buffers, compiled by numba: nothing in here is imported before it is needed.

:mod:`~lumi_pipeline.kernels.engine` decides whether and which; the others don't know of each other's callers.
"""
