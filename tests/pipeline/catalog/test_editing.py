"""Edits of the catalog on a real broker: what is refused, what wants a yes, and two editors at once."""

import asyncio
from collections.abc import Coroutine
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

from evaluation.catalog.history import History, decode_spec
from evaluation.plans.acts import CompleteRun, PausePlan, RollBack, RollOut, StartFlag, TakeStep, act_of
from pipeline.catalog import editing
from pipeline.catalog.documents import read_documents
from pipeline.catalog.editing import Change, RefusedError, RiskError, Signature, UnfinishedError, changes
from pipeline.catalog.faults import DocumentError
from pipeline.catalog.topic import CatalogWriter, EditConflictError, read_catalog
from pipeline.errors import PeekproofError
from pipeline.settings import Settings
from schemas.catalog import Document, Flag, FlagState, Group, GroupSlot, Membership, Metric, Variant
from schemas.plan import Evidence, Plan, PlanStep

ANN, BOB = Signature("ann", "because"), Signature("bob", "why not")
PARENT = Flag(key="parent", owner="shop", variants=(Variant(key="on"), Variant(key="half")))
CHILD = Flag(key="child", owner="shop", variants=(Variant(key="on"),), prerequisites={"parent": ("half",)})


def run(edits: Coroutine[Any, Any, None]) -> None:
    asyncio.run(edits)


def test_two_editors_who_take_steps_at_once_cannot_overwrite_each_other(deployment: Settings):
    async def edit() -> list[Change | BaseException]:
        async with CatalogWriter(deployment) as writer:
            await editing.create(writer, PARENT, ANN)
        async with CatalogWriter(deployment) as ann, CatalogWriter(deployment) as bob:
            return await asyncio.gather(
                editing.take(ann, "start", "parent", ANN),
                editing.take(bob, "rollout", "parent", BOB, variant="half"),
                return_exceptions=True,
            )

    outcomes = asyncio.run(edit())

    (conflict,) = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert isinstance(conflict, EditConflictError)
    assert "version 2 of flag 'parent' came too late and changes nothing" in str(conflict)
    history = read_catalog(deployment)
    winner, status = ("bob", "rolled out") if outcomes[0] is conflict else ("ann", "running")
    assert history.newest.flags["parent"].status == status
    assert [version.document.author for version in history.versions] == ["ann", winner]
    assert len(history.rejected) == 1


def test_an_editor_whose_reading_is_old_is_told_and_does_it_again(deployment: Settings):
    async def edit() -> None:
        async with CatalogWriter(deployment) as ann:
            await editing.create(ann, PARENT, ANN)
            stale = ann.next_version(ann.history.state_of("parent"), "ann", "old")
            async with CatalogWriter(deployment) as bob:
                await editing.take(bob, "start", "parent", BOB)
            with pytest.raises(PeekproofError, match="version 2 stands; read it again"):
                await ann.publish(stale)
            change = await editing.take(ann, "complete", "parent", ANN)
            assert (change.version, change.steps) == (3, ("exp-1 is complete",))

    run(edit())


def test_of_several_documents_none_is_put_over_a_version_that_came_meanwhile(deployment: Settings, tmp_path: Path):
    group = Group(key="held", owner="shop", type="holdout", slots=(GroupSlot(percentage=5),))
    flags = [Flag(key=key, owner="shop", variants=(Variant(key="on"),)) for key in ("first", "second")]
    members = [msgspec.structs.replace(each, groups=(Membership(group="held"),)) for each in flags]
    (tmp_path / "flags").mkdir()
    for flag in flags:
        (tmp_path / "flags" / f"{flag.key}.yaml").write_text(f"key: {flag.key}\nowner: ann\nvariants: [{{key: on}}]\n")

    class Interrupted(CatalogWriter):
        """Bob edits the second flag whenever another document was published."""

        async def publish(self, document: Document) -> None:
            await super().publish(document)
            async with CatalogWriter(deployment) as bob:
                named = msgspec.structs.replace(flags[1], name=f"{document.key} {document.version}")
                await editing.edit(bob, [named], BOB)
            await self.reader.caught_up()

    async def edit() -> None:
        async with CatalogWriter(deployment) as writer:
            await editing.edit(writer, flags, ANN)
        async with Interrupted(deployment) as writer:
            with pytest.raises(UnfinishedError) as unfinished:
                await editing.edit(writer, [group, *members], ANN)
            told = str(unfinished.value)
            assert "version 2 of flag 'second' is not published: " in told
            assert "what came before it stands: version 1 of group 'held', version 2 of flag 'first'; edit only" in told
            with pytest.raises(PeekproofError, match="version 4 of flag 'second' is not published: "):
                _ = [change async for change in editing.apply(writer, read_documents(tmp_path), ANN)]

    run(edit())

    told = [(each.document.key, each.document.author) for each in read_catalog(deployment).versions[2:]]
    assert told == [("held", "ann"), *[("second", "bob"), ("first", "ann")] * 2, ("second", "bob")]


def test_n05_a_new_metric_keeps_six_decimals_and_one_that_stands_those_that_it_has(tmp_path: Path):
    def published(text: str, history: History) -> list[Change]:
        (tmp_path / "metrics").mkdir(exist_ok=True)
        (tmp_path / "metrics" / "spent.yaml").write_text(
            f"{{key: spent, owner: shop, type: sum, event: buy, property: price, window: none, {text}}}"
        )
        return changes(read_documents(tmp_path), history)

    def standing(spec: str) -> History:
        history = History()
        history.append(
            0,
            0,
            b'{"kind":"metric","key":"spent","version":1,"base":0,"author":"ann","time":0,"reason":"-",'
            b'"spec":{"key":"spent","owner":"shop","type":"sum","event":"buy","property":"price","window":"none"%s}}'
            % spec.encode(),
        )
        assert not history.rejected
        return history

    (new,) = published("", History())
    (said,) = published("scale: 6", standing(""))
    (finer,) = published("cap: 9.999", standing(""))

    assert isinstance(new.spec, Metric)
    assert isinstance(finer.spec, Metric)
    assert new.spec.scale == finer.spec.scale == 6
    assert (said.fields, published("", standing("")), published("", standing(',"scale":3'))) == (("scale",), [], [])


def test_a_key_is_created_once_and_what_breaks_a_rule_never(deployment: Settings):
    async def edit() -> None:
        async with CatalogWriter(deployment) as writer:
            with pytest.raises(RefusedError, match=r"prerequisites\.parent: 'parent' is no flag; there are none"):
                await editing.create(writer, CHILD, ANN)
            with pytest.raises(RefusedError, match="variants: there are none; a flag needs at least one variant"):
                await editing.create(writer, msgspec.structs.replace(PARENT, variants=()), ANN)
            await editing.create(writer, PARENT, ANN)
            with pytest.raises(RefusedError, match=r"flag 'parent' exists already \(version 1\); edit it, or choose"):
                await editing.create(writer, PARENT, ANN)
            assert await editing.edit(writer, [PARENT], ANN) == []

    run(edit())

    assert read_catalog(deployment).newest.offset == 1


def test_what_is_risky_is_published_only_with_a_yes(deployment: Settings):
    purchase = Metric(key="purchase", owner="shop", type="conversion", event="purchase", window="10s")
    tested = msgspec.convert(msgspec.to_builtins(PARENT) | {"metrics": [{"metric": "purchase"}]}, Flag)
    heavier = msgspec.structs.replace(tested, variants=(Variant(key="on", weight=3), Variant(key="half")))

    async def edit() -> None:
        async with CatalogWriter(deployment) as writer:
            await editing.create(writer, purchase, ANN)
            await editing.create(writer, tested, ANN)
            await editing.take(writer, "start", "parent", ANN, as_experiment=True)
            with pytest.raises(RiskError, match=r"parent: exp-1 goes on with weights on 3, half 1 .*\n.*say --yes"):
                await editing.edit(writer, [heavier], ANN)
            with pytest.raises(RiskError, match="exp-1 takes no more units"):
                await editing.take(writer, "restart", "parent", ANN)
            assert writer.history.newest.version_of("flag", "parent") == 2
            (change,) = await editing.edit(writer, [heavier], ANN, accept_risks=True)
            assert change.fields == ("variants",)
            change = await editing.take(writer, "restart", "parent", ANN, accept_risks=True)
            assert change.steps == ("exp-1 is complete", "exp-2 is running")

    run(edit())

    first, second = read_catalog(deployment).newest.flags["parent"].runs
    assert first.salt != second.salt


def test_files_that_take_away_what_others_need_are_refused_with_their_line(deployment: Settings, tmp_path: Path):
    group = Group(key="slots", owner="shop", type="mutual-exclusion", slots=(GroupSlot(percentage=50),))
    member = msgspec.convert(msgspec.to_builtins(PARENT) | {"groups": [{"group": "slots", "slots": [1]}]}, Flag)
    files = {
        "flags": "key: parent\nowner: shop\ngroups: [{group: slots, slots: [1]}]\nvariants: [{key: on}]\n",
        "groups": "key: slots\nowner: shop\ntype: mutual-exclusion\nslots: [{percentage: 51}]\n",
    }
    for folder, text in files.items():
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.yaml").write_text(text)

    async def edit() -> None:
        async with CatalogWriter(deployment) as writer:
            for definition in (group, member, CHILD):
                await editing.create(writer, definition, ANN)
            await editing.take(writer, "start", "parent", ANN)
            with pytest.raises(RefusedError, match="'parent' is running"):
                await editing.take(writer, "archive", "parent", ANN)
            with pytest.raises(DocumentError) as refused:
                editing.changes(read_documents(tmp_path), writer.history)
            told = str(refused.value)
            assert "flags/a.yaml:4: variants: 'half' is no longer there, but child needs it; take it out" in told
            assert "flags/a.yaml:4: variants of 'parent' would change from half, on to on while exp-1 runs" in told
            assert "groups/a.yaml:4: slots: would change from 50 % to 51 % while parent runs" in told
            await editing.take(writer, "complete", "parent", ANN)
            with pytest.raises(RefusedError, match="'parent' is needed by child, whose units would all get 'off'"):
                await editing.take(writer, "archive", "parent", ANN)

    run(edit())


def test_documents_that_name_each_other_are_published_in_an_order_that_readers_accept(
    deployment: Settings, tmp_path: Path
):
    files = {
        "flags/a.yaml": "key: a\nowner: me\nvariants: [{key: on, cohorts: [c]}]\nprerequisites: {b: [on]}\n"
        "groups: [{group: g, slots: [1]}]\ndeployments: [d]\n",
        "flags/b.yaml": "key: b\nowner: me\nvariants: [{key: on}]\n",
        "groups/g.yaml": "key: g\nowner: me\ntype: mutual-exclusion\nslots: [{percentage: 9, cohorts: [c]}]\n",
        "cohorts/c.yaml": "key: c\nowner: me\nids: [u1, u2]\n",
        "deployments/d.yaml": "key: d\nowner: me\ntype: server\n",
        "metrics/m.yaml": "{key: m, owner: me, type: distinct, event: e, property: p, window: 1d, "
        "cuped: {lookback: 1d, with: [o, r]}}",
        "metrics/o.yaml": "{key: o, owner: me, type: ratio, numerator: s, denominator: r, window: 1d}",
        "metrics/r.yaml": "{key: r, owner: me, type: count, event: e, window: 1d}",
        "metrics/s.yaml": "{key: s, owner: me, type: sum, event: e, property: p, window: 1d}",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)

    async def apply() -> list[str]:
        async with CatalogWriter(deployment) as writer:
            return [change.key async for change in editing.apply(writer, read_documents(tmp_path), ANN)]

    assert asyncio.run(apply()) == ["c", "d", "g", "s", "r", "o", "m", "b", "a"]
    assert asyncio.run(apply()) == []
    assert not read_catalog(deployment).rejected


def test_metrics_that_need_each_other_say_which_one_comes_first(tmp_path: Path):
    (tmp_path / "metrics").mkdir()

    def write(key: str, other: str) -> Path:
        file = tmp_path / "metrics" / f"{key}.yaml"
        file.write_text(
            f"key: {key}\nowner: me\ntype: count\nevent: {key}\nwindow: 1d\ncuped:\n  lookback: 1d\n{other}"
        )
        return file

    write("a", "  with: [b]\n")
    write("b", "  with: [a]\n")

    with pytest.raises(DocumentError, match=r"a.yaml:8: 'a' and 'b' need each other.*apply 'a' without `with` first"):
        changes(read_documents(tmp_path), History())
    write("a", "")
    assert [each.key for each in changes(read_documents(tmp_path), History())] == ["a", "b"]


def test_documents_that_need_each_other_are_published_together_or_not_at_all(deployment: Settings):
    group = Group(key="slots", owner="shop", type="mutual-exclusion", slots=(GroupSlot(percentage=50),))
    member = msgspec.structs.replace(PARENT, groups=(Membership(group="slots", slots=(1,)),))
    stranger = msgspec.structs.replace(CHILD, groups=(Membership(group="slots", slots=(2,)),))

    async def edit() -> None:
        async with CatalogWriter(deployment) as writer:
            await editing.create(writer, PARENT, ANN)
            with pytest.raises(RefusedError, match="2 is no slot of 'slots'"):
                await editing.edit(writer, [group, member, stranger], ANN)
            assert writer.history.newest.offset == 1
            changes = await editing.edit(writer, [group, member], ANN)
            assert [(change.kind, change.key, change.version) for change in changes] == [
                ("group", "slots", 1),
                ("flag", "parent", 2),
            ]
            await editing.create(writer, CHILD, ANN)
            without = msgspec.structs.replace(member, variants=member.variants[:1])
            with pytest.raises(RefusedError, match="'half' is no longer there, but child needs it"):
                await editing.edit(writer, [without], ANN)
            with pytest.raises(
                EditConflictError, match="version 2 of flag 'parent' stands, and not version 1 any more"
            ):
                await editing.take(writer, "start", "parent", ANN, base=1)

    run(edit())


def test_a_plan_acts_as_the_version_that_its_evidence_names_and_once(deployment: Settings):
    flag = msgspec.structs.replace(PARENT, plan=Plan(steps=(PlanStep(rollout=1, lasts="1h"), PlanStep(rollout=50))))
    acts = (StartFlag(), TakeStep(2), PausePlan("harm", ("split",)), RollOut("half"), RollBack())

    async def edit() -> None:
        async with CatalogWriter(deployment) as writer:
            await editing.create(writer, flag, ANN)
            for version, act in enumerate(acts, 2):
                change = await editing.act(writer, "parent", act, f"step {version}", Evidence(version=version, time=7))
                assert (change.version, change.spec.progress.evidence) == (version, Evidence(version=version, time=7))
            with pytest.raises(
                EditConflictError, match="version 6 of flag 'parent' stands, and not version 5 any more"
            ):
                await editing.act(writer, "parent", CompleteRun(), "late", Evidence(version=6, time=8))
            with pytest.raises(RefusedError, match="'parent' is not running"):
                await editing.act(writer, "parent", CompleteRun(), "too late", Evidence(version=7, time=8))

    run(edit())

    history = read_catalog(deployment)
    documents = [each.document for each in history.versions]
    assert [(each.author, each.reason) for each in documents[1:]] == [("plan", f"step {each}") for each in range(2, 7)]
    states = [decode_spec(each, FlagState) for each in documents]
    made = [act_of(before, after) for before, after in pairwise(states)]
    assert made[:3] == [*acts[:3]]
    assert history.newest.flags["parent"].status == "rolled back"


def test_two_that_act_for_one_plan_make_one_version(deployment: Settings):
    flag = msgspec.structs.replace(PARENT, plan=Plan(steps=(PlanStep(rollout=1),)))

    async def edit() -> list[Change | BaseException]:
        async with CatalogWriter(deployment) as one, CatalogWriter(deployment) as other:
            await editing.create(one, flag, ANN)
            await other.reader.caught_up()
            acts = (
                editing.act(each, "parent", StartFlag(), "start", Evidence(version=2, time=7)) for each in (one, other)
            )
            return await asyncio.gather(*acts, return_exceptions=True)

    outcomes = asyncio.run(edit())

    (conflict,) = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert isinstance(conflict, EditConflictError)
    assert [each.document.author for each in read_catalog(deployment).versions] == ["ann", "plan"]
