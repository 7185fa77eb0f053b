"""The catalog that the server's tests evaluate: a small one in which every kind of answer occurs."""

import asyncio
from collections.abc import Sequence

from pipeline.catalog import editing
from pipeline.catalog.editing import Signature
from pipeline.catalog.topic import CatalogWriter
from pipeline.settings import Settings
from schemas.catalog import (
    Breakdown,
    Cohort,
    Condition,
    Definition,
    Deployment,
    Flag,
    Goal,
    Group,
    GroupSlot,
    Membership,
    Metric,
    Segment,
    Variant,
)

ANN = Signature("ann", "a test")
CONTROL_AND_TREATMENT = (Variant(key="control"), Variant(key="treatment", payload={"label": "Buy now"}))
PURCHASE = Metric(key="purchase", owner="shop", type="conversion", event="purchase", window="1s")
BUTTON = Flag(
    key="button",
    owner="shop",
    variants=CONTROL_AND_TREATMENT,
    metrics=(Goal(metric="purchase", role="primary"),),
    breakdowns=(Breakdown(property="country", values=("AT", "CH")),),
)
STICKY = Flag(key="sticky", owner="shop", variants=(Variant(key="control"), Variant(key="treatment")), sticky=True)
BETA = Flag(
    key="beta",
    owner="shop",
    variants=(Variant(key="on"),),
    segments=(
        Segment(name="Testers", conditions=(Condition(property="cohort", op="set contains any", values=("testers",)),)),
    ),
    rollout=0,
)
TESTERS = Cohort(key="testers", owner="shop", ids=("ann", "tom", "ann"))
DOCUMENTS: tuple[Definition, ...] = (
    PURCHASE,
    TESTERS,
    Deployment(key="web", owner="shop", type="client"),
    Deployment(key="backend", owner="shop", type="server"),
    Group(key="slots", owner="shop", type="mutual-exclusion", slots=(GroupSlot(percentage=100),)),
    BUTTON,
    STICKY,
    BETA,
    Flag(
        key="for-backend",
        owner="shop",
        variants=(Variant(key="on"),),
        deployments=("backend",),
        groups=(Membership(group="slots", slots=(1,)),),
    ),
)


def publish(settings: Settings, documents: Sequence[Definition] = DOCUMENTS, start: bool = True) -> None:
    """Publish the documents, and start every flag among them, unless it shall stay a draft."""

    async def run() -> None:
        async with CatalogWriter(settings) as writer:
            for document in documents:
                await editing.create(writer, document, ANN)
                if isinstance(document, Flag) and start:
                    await editing.take(writer, "start", document.key, ANN)

    asyncio.run(run())


def edit(settings: Settings, definition: Definition) -> None:
    """Publish another version."""

    async def run() -> None:
        async with CatalogWriter(settings) as writer:
            await editing.edit(writer, [definition], ANN, accept_risks=True)

    asyncio.run(run())
