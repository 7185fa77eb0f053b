"""Documents as a catalog in which every flag runs."""

from pathlib import Path

from pipeline.catalog.documents import read_documents
from pipeline.offline.running import running
from tests.pipeline.shop import Shop

PLAN = """\
plan:
  start: 2026-03-02T08:00
  steps:
    - { rollout: 1, for: 1h }
    - { rollout: 50 }
  end: 2026-03-30
  timezone: Asia/Tokyo
"""


def test_a_plan_runs_from_its_start_to_its_end_as_its_last_step_has_it(tmp_path: Path):
    shop = Shop(tmp_path)
    shop.rewrite("rollout: 50\n", PLAN)

    (run,) = running(read_documents(tmp_path)).newest.flags["button"].runs

    assert [each.rollout for each in run.allocations] == [50]
    assert run.started + 1_000 == 1_772_406_000_000  # 2026-03-01T23:00Z, with what a version takes to apply
    assert run.completed is not None
    assert run.completed + 1_000 == 1_774_796_400_000  # 2026-03-29T15:00Z
