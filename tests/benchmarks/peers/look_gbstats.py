"""gbstats: GrowthBook's sequential test of each case, absolute. `python look_gbstats.py CASES.json ALPHA`."""

import json
import sys
import time

from gbstats.frequentist.tests import SequentialConfig, SequentialTwoSidedTTest
from gbstats.models.statistics import SampleMeanStatistic

with open(sys.argv[1]) as file:
    cases = json.load(file)
config = SequentialConfig(difference_type="absolute", alpha=float(sys.argv[2]), sequential_tuning_parameter=10_000)
started = time.process_time(), time.monotonic()
p_values = []
for control, treatment in cases:
    arms = [SampleMeanStatistic(n=n, sum=total, sum_squares=squares) for n, total, squares in (control, treatment)]
    p_values.append(SequentialTwoSidedTTest(*arms, config).compute_result().p_value)
figures = {"cpu_seconds": time.process_time() - started[0], "wall_seconds": time.monotonic() - started[1]}
print(json.dumps({**figures, "p_values": p_values}))
