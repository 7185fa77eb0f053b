"""Mutants: a build that forgets one of the rules is found by the state machine over the stages, within its budget.

`MUTANTS` lists them: what is forgotten, in which module, and the text that makes it so. Most are found after some 10 s
of CPU; what the machine does not meet, a law or an example finds (`JUDGES`). One is tried in every run, all of them
with `PEEKPROOF_MUTANTS=1`.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
JUDGE = "tests/evaluation/test_stages_machine.py"
LAW = "tests/evaluation/metrics/test_partition_laws.py::test_the_store_equals_the_queries_in_any_order_and_any_cut"
EXAMPLES = "tests/evaluation/metrics/test_partition.py"
CROWD = "tests/evaluation/metrics/test_partition_laws.py::test_of_an_hour_the_first_events_of_a_unit_are_read"

MUTANTS = {
    "the first exposure that arrives is the entry, not the earliest": (
        "metrics.kernels.expose",
        "        return exposure.time < head.entry\n",
        "        return False\n",
    ),
    "of exposures at one time the first that arrives is the entry": (
        "metrics.kernels.expose",
        "        return bool(np.uint64(exposure.insert_id) < np.uint64(head.insert_id))\n",
        "        return False\n",
    ),
    "an entry that moves back keeps its totals": (
        "metrics.kernels.expose",
        "            recount(store, m, measures, 0, memory, places)\n",
        "            if is_new:\n                recount(store, m, measures, 0, memory, places)\n",
    ),
    "an entry that moves back keeps its segments": (
        "metrics.kernels.expose",
        "head.entry, head.insert_id, head.segments = exposure.time, exposure.insert_id, exposure.segments",
        "head.entry, head.insert_id = exposure.time, exposure.insert_id\n"
        "        head.segments = exposure.segments if is_new else head.segments",
    ),
    "events before their exposure are not claimed": (
        "metrics.kernels.expose",
        "            recount(store, m, measures, 0, memory, places)\n",
        "            recount(store, m, measures, 0, memory, np.empty(0, np.int64))\n",
    ),
    "events before the entry count": (
        "metrics.kernels.count",
        "    if time >= entry:\n",
        "    if True:\n",
    ),
    "an event at the end of the window counts": (
        "metrics.kernels.count",
        "time - entry < column.window",
        "time - entry <= column.window",
    ),
    "the window is not looked at when events are counted again": (
        "metrics.kernels.recount",
        "entry < measures.columns[c].since or event.time - entry >= measures.columns[c].window:",
        "entry < measures.columns[c].since:",
    ),
    "what is noted of events before an entry counts": (
        "metrics.kernels.tallies",
        "    if not entry <= time < measures.ends:\n",
        "    if time >= measures.ends:\n",
    ),
    "what was noted before an exposure is lost": (
        "metrics.kernels.recent",
        "        if note.time < bound:\n",
        "        if True:\n",
    ),
    "a jumper stays": ("metrics.kernels.expose", "    if has_jumped:  # rule 1\n", "    if has_jumped and arm < 0:\n"),
    "a unit that another allocation moves is a jumper": (
        "metrics.arms",
        "                if same == allocation:\n",
        "                if True:\n",
    ),
    "a unit that another allocation moves is counted where it was last": (
        "metrics.kernels.expose",
        "        return exposure.time < head.entry\n",
        "        return exposure.time < head.entry or exposure.arm != head.state >> FLAGS\n",
    ),
    "units that an inclusion forced are counted": (
        "metrics.intake",
        "    elif kind & _FORCED:\n",
        "    elif kind & _FORCED and is_late:\n",
    ),
    "late events count": (
        "metrics.intake",
        "        elif is_late or kind[i] & _UNUSABLE:  # rule 4\n",
        "        elif kind[i] & _UNUSABLE:\n",
    ),
    "late exposures count": ("metrics.intake", "    elif is_late:\n", "    elif False:\n"),
    "events without a number count": (
        "metrics.intake",
        "        elif is_late or kind[i] & _UNUSABLE:  # rule 4\n",
        "        elif is_late:\n",
    ),
    "what was folded is folded again": (
        "metrics.intake",
        "if offset[i] < floors[source[i]]:",
        "if offset[i] < 0:",
    ),
    "an insert id counts once, whatever its time": (
        "metrics.kernels.recent",
        "            if its.time == event.time:\n",
        "            if its.time >= 0:\n",
    ),
    "recent events are forgotten a horizon too early": (
        "metrics.partition",
        "self._recent.expire(self._joined_bound - self._recent.minute)",
        "self._recent.expire(self._sources.joined)",
    ),
    "caps are forgotten": ("metrics.measures", "max(min(x, variable.cap), ", "max(x, "),
    "lower caps are forgotten": (
        "metrics.measures",
        "max(min(x, variable.cap), variable.floor)",
        "min(x, variable.cap)",
    ),
    "logs are forgotten": (
        "metrics.measures",
        "    if variable.precision > 0 and ",
        "    if variable.precision < 0 and ",
    ),
    "a funnel takes its steps in the order in which they arrive": (
        "metrics.kernels.ordered",
        "if pending[k].time < time or (is_at_once and np.uint64(pending[k].insert_id) <= np.uint64(insert_id)):",
        "if pending[k].time != time or np.uint64(pending[k].insert_id) <= np.uint64(insert_id):",
    ),
    "a funnel's steps may come in any order": (
        "metrics.kernels.ordered",
        "    if (steps >> (state & 0xFF)) & 1 == 0:\n",
        "    if steps == 0:\n",
    ),
    "pending events are folded a horizon too early": (
        "metrics.partition",
        "            run.expire(self._bound_of(run))\n",
        "            run.expire(self._bound_of(run) + self.horizon)\n",
    ),
    "units settle a horizon too early": (
        "metrics.partition",
        "members.settle(state._bound_of(members))",
        "members.settle(state._bound_of(members) + self.horizon)",
    ),
    "units settle without their window": ("metrics.kernels.settle", "bound - column.window", "bound"),
    "a metric covers units that entered before it": (
        "metrics.kernels.members",
        "        if store.heads[m].entry >= measures.columns[c].since:\n",
        "        if store.heads[m].entry >= 0:\n",
    ),
    "events count after a run's end": (
        "metrics.kernels.count",
        "or event.time >= ends:  # rule 1\n",
        "or event.time < 0:\n",
    ),
    "a run is over before what counts can have arrived": (
        "metrics.run",
        "watermark > self.ends + self.horizon",
        "watermark > self.completed + self.horizon",
    ),
    "inclusions are not asked": (
        "assignment.exposures",
        "codes != NO_OUTCOME",
        "codes == -1",
    ),
    "lateness is judged the other way round": (
        "assignment.messages",
        "judged - time > self.horizon",
        "time - judged > self.horizon",
    ),
    "a completed run takes entries": (
        "assignment.plan",
        "return self.run if self.run and self.run.completed is None else None",
        "return self.run",
    ),
    "exposures belong to the first allocation, whatever is in force": (
        "assignment.plan",
        "return run, len(run.allocations) - 1 if run else 0",
        "return run, 0",
    ),
    "a filter is not asked": ("assignment.events", "    if plan.filters:\n", "    if not plan.filters:\n"),
    "a listed value is taken for its neighbour": (
        "assignment.entries",
        "{value: index + 1 for",
        "{value: index for",
    ),
    "a version applies at once": ("catalog.history", "append_time + SETTLING))", "append_time))"),
    "ids are compared as signed numbers when exposures meet at one time": (
        "metrics.kernels.expose",
        "        return bool(np.uint64(exposure.insert_id) < np.uint64(head.insert_id))\n",
        "        return bool(exposure.insert_id < head.insert_id)\n",
    ),
    "steps of one time stand in the order of their ids": (
        "metrics.kernels.ordered",
        "        while end < places.shape[0] and pending[places[end]].time == time:\n",
        "        while end < begin:\n",
    ),
    "repeats count": (
        "metrics.kernels.recent",
        "            if its.time == event.time:\n",
        "            if its.time < 0:\n",
    ),
    "means are rounded half up": ("metrics.measures", "(2 * rest == count and floor & 1 == 1)", "2 * rest == count"),
    "the past is forgotten a bucket too early": (
        "metrics.lookback",
        "first = bound // self.width - BUCKETS\n",
        "first = bound // self.width - BUCKETS + 1\n",
    ),
    "a return at the begin of the period does not count": (
        "metrics.kernels.ordered",
        "variables[v].begins <= since",
        "variables[v].begins < since",
    ),
    "a covariate covers the entry's own bucket when a unit enters": (
        "metrics.run",
        "wanted = np.column_stack((first, bucket))",
        "wanted = np.column_stack((first, bucket + 1))",
    ),
    "a covariate covers the entry's own bucket when an event arrives": (
        "metrics.kernels.count",
        "<= bucket < entry // column.width else",
        "<= bucket <= entry // column.width else",
    ),
}
CROWDED = {  # of more events than the machine has: a law finds them
    "of a full hour later events are read too": (
        "metrics.kernels.ordered",
        "    if rank == MOST_EVENTS:\n        rows[m, at + EVENTS] |= _CROWDED\n        return False\n",
        "",
    ),
    "of a full hour the last event stays when an earlier one comes": (
        "metrics.kernels.ordered",
        "            if pending[k].rank > MOST_EVENTS:\n",
        "            if pending[k].rank < 0:\n",
    ),
    "how many events of an hour were folded is forgotten": (
        "metrics.kernels.ordered",
        "    elif -link >> _RANK_BITS == hour:\n",
        "    elif -link >> _RANK_BITS == -1:\n",
    ),
}
SETTLED = {  # the machine does not meet them within its budget: a law finds them
    "a jumper stays in the settled sums": (
        "metrics.kernels.expose",
        "        unsettle(store, m, measures, x)\n",
        "",
    ),
    "a checkpoint forgets who has settled": (
        "metrics.member_store",
        'self.settled["cursor"] = np.searchsorted(entries[:queued], self.settled["before"])',
        'self.settled["cursor"] = 0',
    ),
}
NARROW = {  # nor these: examples find them
    "a return at the end of the period counts": (
        "metrics.kernels.ordered",
        "< variables[v].ends",
        "<= variables[v].ends",
    ),
    "a checkpoint forgets pending events": (
        "metrics.member_store",
        "self.pending[numbers & (len(self.pending) - 1)] = pending",
        "self.pending[numbers & (len(self.pending) - 1)] = np.zeros_like(pending)",
    ),
}
MUTANTS |= CROWDED | SETTLED | NARROW
JUDGES = dict.fromkeys(CROWDED, CROWD) | dict.fromkeys(SETTLED, LAW) | dict.fromkeys(NARROW, EXAMPLES)
QUICK = "the first exposure that arrives is the entry, not the earliest"


def test_every_rule_is_still_written_as_its_mutant_knows_it() -> None:
    sources = {
        module: (ROOT / "evaluation" / module.replace(".", "/")).with_suffix(".py") for module, _, _ in MUTANTS.values()
    }

    assert [name for name, (module, right, _) in MUTANTS.items() if right not in sources[module].read_text()] == []


@pytest.mark.parametrize(
    "mutant",
    [
        pytest.param(
            name,
            marks=pytest.mark.skipif(
                name != QUICK and "PEEKPROOF_MUTANTS" not in os.environ, reason="PEEKPROOF_MUTANTS=1 tries them all"
            ),
        )
        for name in MUTANTS
    ],
)
def test_a_build_that_forgets_a_rule_is_found(mutant: str) -> None:
    module, right, wrong = MUTANTS[mutant]

    tried = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-x", "--timeout=0", "-p", "tests.evaluation.mutation", "-W", "ignore"),
            *("--hypothesis-profile=mutants", "--hypothesis-seed=0", JUDGES.get(mutant, JUDGE)),
        ],
        cwd=ROOT,
        env=os.environ
        | {"PYTHONPATH": str(ROOT), "PEEKPROOF_MUTANT": json.dumps([f"evaluation.{module}", right, wrong])},
        capture_output=True,
        text=True,
        check=False,
    )

    assert tried.returncode == 1, tried.stdout + tried.stderr
    assert "AssertionError" in tried.stdout, tried.stdout
