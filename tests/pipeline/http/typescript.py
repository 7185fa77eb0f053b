"""TypeScript: what the API says and is told, as types by which the console is checked.

`python -m tests.pipeline.http.typescript FILE` writes them. They come from the structs that the server encodes: a field
that has another name there is an error in the console.
"""

import inspect
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from msgspec import NODEFAULT
from msgspec import inspect as types

from evaluation.arrivals.overview import FlagArriving
from evaluation.launch.checklist import Checklist
from evaluation.significance.shipped import ShippedMetric
from pipeline.catalog.trying import TriedSource
from pipeline.http.arriving.heard import ArrivingTold
from pipeline.http.arriving.routes import MessagesSeen, SentAgain
from pipeline.http.arriving.tail import TailTold
from pipeline.http.documents.checking import Checked
from pipeline.http.documents.publishing import Published
from pipeline.http.documents.reading import DocumentItems, DocumentShown
from pipeline.http.documents.standing import SourcesTold
from pipeline.http.management.keys import KeyMade, KeysTold, NewKey, ProgramsTold
from pipeline.http.management.life import Stands, Taking, Version, Versions
from pipeline.http.management.plans import PlanEdit, PlanShown
from pipeline.http.management.recounts import RecountShown
from pipeline.http.oncall.examination import Examined
from pipeline.http.oncall.routes import StagesTold
from pipeline.http.questions.exploring import Answered
from pipeline.http.questions.planning import SamplePlan
from pipeline.http.questions.units import UnitAnswers
from pipeline.http.remembering.briefs import Briefs, BriefShown, Rendered, Rendering
from pipeline.http.remembering.comments import Comments, Saying
from pipeline.http.results.notifications import NotificationsTold
from pipeline.http.results.routes import Columns, Overview, Shown
from pipeline.http.results.vocabulary import Vocabulary
from pipeline.http.session.routes import Me, SignedOut, SignIn, WayIn
from pipeline.http.session.shares import NewShare, ShareMade, SharesTold
from pipeline.questions.baseline import MetricNumbers
from pipeline.questions.drawer import Drawer
from pipeline.questions.matching import SegmentCounts
from pipeline.questions.unit_records import UnitRecords
from schemas.look import Look

DOCUMENTS = (DocumentItems, DocumentShown, Checked, Published, SourcesTold)
ARRIVING = (ArrivingTold, FlagArriving, MessagesSeen, TailTold, SentAgain, Checklist)
REMEMBERED = (Briefs, BriefShown, Rendered, Comments)
SIGNED = (Me, WayIn, SignedOut, KeysTold, KeyMade, ProgramsTold, SharesTold, ShareMade)
ANSWERED = (
    Drawer,
    UnitAnswers,
    UnitRecords,
    SamplePlan,
    MetricNumbers,
    SegmentCounts,
    TriedSource,
    ShippedMetric,
    Answered,
)
ON_CALL = (StagesTold, Examined)
SAID = (
    Overview,
    Shown,
    Look,
    Drawer,
    Columns,
    Versions,
    Version,
    Stands,
    Vocabulary,
    PlanShown,
    RecountShown,
    NotificationsTold,
    *DOCUMENTS,
    *SIGNED,
    *ON_CALL,
    *REMEMBERED,
    *ARRIVING,
    *ANSWERED,
)
TOLD = (
    Taking,
    PlanEdit,
    SignIn,
    NewKey,
    NewShare,
    Saying,
    Rendering,
)  # of which a client may leave out what has a default


def declarations() -> str:
    """An interface for each of these structs, and for each within them."""
    parts: dict[str, str] = {}
    for root in (*SAID, *TOLD):
        for struct in _structs(types.type_info(root)):
            name, part = struct.cls.__name__, _interface(struct, may_omit=root in TOLD)
            if parts.setdefault(name, part) != part:
                raise ValueError(f"two structs are called '{name}', one of them in {struct.cls.__module__}; rename one")
    return "\n".join(parts.values())


def _structs(kind: types.Type) -> Iterator[types.StructType]:
    match kind:
        case types.StructType(fields=fields):
            yield kind
            for field in fields:
                yield from _structs(field.type)
        case types.Metadata(type=inner) | types.ListType(item_type=inner) | types.VarTupleType(item_type=inner):
            yield from _structs(inner)
        case types.DictType(value_type=inner):
            yield from _structs(inner)
        case types.UnionType(types=several):
            for each in several:
                yield from _structs(each)


def _interface(struct: types.StructType, may_omit: bool) -> str:
    omits = may_omit or struct.cls.__struct_config__.omit_defaults
    lines = [f"/** {inspect.getdoc(struct.cls)} */", f"export interface {struct.cls.__name__} {{"]
    if struct.tag is not None:
        lines.append(f"  {struct.tag_field}: {json.dumps(struct.tag)};")
    for field in struct.fields:
        has_default = (field.default, field.default_factory) != (NODEFAULT, NODEFAULT)
        is_there = field.required or (has_default and not omits)  # what has no default then is unset
        if isinstance(field.type, types.Metadata) and (told := (field.type.extra_json_schema or {}).get("description")):
            lines.append(f"  /** {told} */")
        lines.append(f"  {field.encode_name}{'' if is_there else '?'}: {_name(field.type)};")
    return "\n".join([*lines, "}\n"])


def _name(kind: types.Type) -> str:
    match kind:
        case types.Metadata(type=inner):
            name = _name(inner)
        case types.StructType(cls=cls):
            name = cls.__name__
        case types.ListType(item_type=inner) | types.VarTupleType(item_type=inner):
            name = f"Array<{_name(inner)}>"
        case types.DictType(key_type=key, value_type=inner):
            name = f"Record<{_name(key)}, {_name(inner)}>"
        case types.UnionType(types=several):
            name = " | ".join(dict.fromkeys(map(_name, several)))
        case types.LiteralType(values=values):
            name = " | ".join(map(json.dumps, values))
        case _:
            name = _PLAIN[type(kind)]
    return name


_PLAIN: dict[type[types.Type], str] = {
    types.AnyType: "unknown",
    types.NoneType: "null",
    types.BoolType: "boolean",
    types.IntType: "number",
    types.FloatType: "number",
    types.StrType: "string",
}

if __name__ == "__main__":
    file = Path(sys.argv[1])
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(declarations())
