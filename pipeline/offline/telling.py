"""Telling: what a reader of an analysis should know beside its looks, as sentences and as JSON."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import msgspec

from pipeline.files.left_out import NO_NUMBER, BadRow, LeftOut
from pipeline.offline.analysis import FileAnalysis
from pipeline.offline.table import TableAnalysis
from schemas.look import Look

SHOWN = 3  # bad rows of each file and reason that are shown
UNUSABLE = {"no property": "they don't say it", NO_NUMBER: "it is no plain number"}


def report(analysis: FileAnalysis | TableAnalysis, looks: Sequence[Look], notes: Sequence[str]) -> bytes:
    """One JSON document with every number."""
    left_out = analysis.left_out
    told = {
        "rows": analysis.rows,
        "experiments": looks,
        "rejected": [{"file": f, "reason": r, "rows": n} for (f, r), n in sorted(left_out.rows.items())],
        "unusable": [
            {"file": f, "reason": r, "property": p, "rows": n} for (f, r, p), n in sorted(left_out.values.items()) if n
        ],
        "bad_rows": sorted(left_out.bad, key=lambda row: (row.file, row.line)),
        "notes": notes,
    }
    return msgspec.json.encode(told)


def told_notes(analysis: FileAnalysis) -> list[str]:
    """What a reader should know: of the runs that exposures named, and of metrics for which there was nothing."""
    runs: dict[str, list[str]] = defaultdict(list)
    for (flag, run), exposures in sorted(analysis.translation.runs.items()):
        runs[flag].append(f"{run} ({exposures:,})")
    of_runs = [
        f"exposures of '{flag}' name {len(named)} runs, {', '.join(named)}, and are analysed as one; `start` in its "
        "definition leaves out what came before"
        for flag, named in runs.items()
        if len(named) > 1
    ]
    of_runs += [
        f"{number:,} of {analysis.exposures[flag]:,} exposures of '{flag}' name no `variant`, and were given one by "
        "its definition"
        for flag, number in sorted(analysis.asking.items())
    ]
    of_runs += [
        f"'{file}': every `{name}` reads like {written}, as programs write whole numbers beside empty cells, and is "
        "taken for a whole number; where that is the id itself, give NDJSON or Parquet, in which it stays a text"
        for (file, name), written in sorted(analysis.translation.floats.items())
    ]
    of_runs += analysis.notes
    if not analysis.has_events:
        return of_runs
    unfed: dict[tuple[str, str], list[str]] = defaultdict(list)
    for flag, metric, why in analysis.unfed():
        unfed[flag, why].append(metric)
    of_events = [f"events are missing for {', '.join(its)} of '{flag}': {why}" for (flag, why), its in unfed.items()]
    return of_runs + of_events + analysis.remarks


def told_left_out(left_out: LeftOut) -> Iterator[str]:
    """What of files was of no use, with some examples, a line each."""
    for (file, reason), number in sorted(left_out.rows.items()):
        yield f"{file}: {number:,} rows left out: {reason}"
        yield from _examples(row for row in left_out.bad if (row.file, row.reason) == (file, reason))
    for (file, reason, name), number in sorted(left_out.values.items()):
        if number:
            yield f"{file}: {number:,} rows left out of metrics of {name}: {UNUSABLE[reason]}"
            yield from _examples(
                row
                for row in left_out.bad
                if (row.file, row.reason) == (file, reason) and row.detail.startswith(f"{name} ")
            )


def _examples(rows: Iterable[BadRow]) -> Iterator[str]:
    for row in islice(rows, SHOWN):
        same = f" (and {row.rows - 1:,} rows more)" if row.rows > 1 else ""
        yield f"  {row.file}:{row.line}: {row.detail}{same}"
