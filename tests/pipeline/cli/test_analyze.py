"""`peekproof analyze` as a person reads it."""

from pathlib import Path

from tests.pipeline.analyzing import MINUTE, T, call, describe_orders, ndjson, told


def test_a_ratio_is_told_with_both_sums(tmp_path: Path, catalog: Path) -> None:
    users = [{"device_id": f"d{i}", "time": T + i} for i in range(4)]
    shown = [who | {"flag_key": "menu", "variant": ("control", "wide")[i % 2]} for i, who in enumerate(users)]
    events = [
        who | {"event_type": event, "time": T + MINUTE + i, "event_properties": {"price": 2.5}}
        for who in users
        for i, event in enumerate(["buy", "view", "view"])
    ]
    files = ("--exposures", ndjson(tmp_path / "x.ndjson", shown), "--events", ndjson(tmp_path / "e.ndjson", events))

    (cell,) = [
        cell
        for look in told("--catalog", catalog, "--experiment", "menu", *files)["experiments"]
        for cell in look["cells"]
        if (cell["metric"], cell["variant"], cell["reading"]) == ("per-view", "wide", "live")
    ]
    table = call("--catalog", catalog, "--experiment", "menu", *files).stdout.splitlines()

    assert (cell["sum"], cell["scale"], cell["mean"]) == (5_000_000, 6, 1.25)
    assert (cell["denominator_sum"], cell["control_denominator_sum"], cell["denominator_scale"]) == (4, 4, 0)
    begin = ["per-view", "live", "all", "sequential", "gated", "wide"]
    (row,) = [line.split() for line in table if line.split()[:6] == begin]
    assert row[6:11] == ["2", "5", "12.5", "4", "1.25"]


def test_without_any_file_there_is_nothing_to_analyse() -> None:
    result = call()

    assert result.exit_code == 2
    assert "--exposures, --events, or both" in result.stderr


def test_an_exact_test_tells_the_interval_of_its_lift_and_what_both_are_of(tmp_path: Path) -> None:
    describe_orders(tmp_path, "guardrail")
    exposures, events = tmp_path / "exposures.csv", tmp_path / "events.csv"
    units = [(f"{variant}-{i:03}", variant) for variant, n in (("control", 227), ("treatment", 224)) for i in range(n)]
    exposures.write_text("\n".join(["user_id,flag_key,variant,time", *(f"{u},mail,{v},{T}" for u, v in units)]))
    bought = [u for u, v in units if int(u[-3:]) < (33 if v == "treatment" else 13)]
    events.write_text("\n".join(["user_id,event_type,time", *(f"{u},order,{T + 1}" for u in bought)]))

    shown = call("--exposures", exposures, "--events", events, "--catalog", tmp_path).stdout
    (look,) = told("--exposures", exposures, "--events", events, "--catalog", tmp_path)["experiments"]

    (cell,) = (each for each in look["cells"] if each["method"] == "exact")
    ends = [f"{cell[f'running_relative_{end}']:+.2%}" for end in ("lower", "upper")]
    (row,) = (line for line in shown.splitlines() if " exact " in line)
    assert f"{33 / 224 - 13 / 227:.4g}" in row
    assert f"{33 / 13 - 1:+.2%}" in row
    assert " to ".join(ends) in row
    assert "exact: the interval is of the relative effect, and both are by conversions alone, as the planned" in shown
