"""Benchmarks: ours beside its peers, in one run, alternated; medians and ratios, never absolute promises."""
