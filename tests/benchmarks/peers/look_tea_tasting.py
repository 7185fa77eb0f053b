"""tea-tasting: Welch's t-test of each case; it has no sequential one. `python look_tea_tasting.py CASES.json ALPHA`."""

import json
import sys
import time

from tea_tasting import Mean
from tea_tasting.aggr import Aggregates

with open(sys.argv[1]) as file:
    cases = json.load(file)
metric = Mean("y", confidence_level=1.0 - float(sys.argv[2]))
started = time.process_time(), time.monotonic()
p_values = []
for case in cases:
    arms = [
        Aggregates(count_=n, mean_={"y": total / n}, var_={"y": (squares - total * total / n) / (n - 1)})
        for n, total, squares in case
    ]
    p_values.append(metric.analyze_aggregates(*arms).pvalue)
figures = {"cpu_seconds": time.process_time() - started[0], "wall_seconds": time.monotonic() - started[1]}
print(json.dumps({**figures, "p_values": p_values}))
