"""What the guard costs, beside what others cost: `tox -e benchmarks`.

Everything is measured side by side in one run, in turns, so that a busy machine is busy for all; what counts are
medians and ratios. `--smoke` runs every line of it once, shows that it works and proves nothing about speed.
"""
