"""What the code knows better than a page: settings, documents, commands, topics, HTTP, tables, rooms of the code.

Each has a page with a title and an introduction. What is made here is put behind it whenever Sphinx reads the page, so
it is never out of date.
"""

import ast
import dataclasses
import inspect
import re
import textwrap
import tomllib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import click
import msgspec
from litestar import Litestar
from litestar.di import Provide
from litestar.openapi import OpenAPIConfig
from sphinx.application import Sphinx

import peekproof
from docs import sizes
from evaluation.assignment import arrow, portions
from evaluation.columns import nesting, scanning
from evaluation.metrics import measures
from evaluation.sources import presets as presets_of
from pipeline.catalog.topic import LARGEST_DOCUMENT
from pipeline.cli import command
from pipeline.http.app import API
from pipeline.http.evaluate import sticky
from pipeline.http.ingest import uploads
from pipeline.http.ingest.intake import LARGEST_BATCH, LARGEST_UPLOAD
from pipeline.settings import Settings
from pipeline.storage import snapshot
from schemas.asyncapi import BYTES, asyncapi
from schemas.dead_letter import HEADERS, LARGEST_DEAD_LETTER, REASONS
from schemas.fields import Field, fields
from schemas.json_schema import DOCUMENTS, json_schema
from schemas.look import TOLD
from schemas.notification import OCCURRENCES
from schemas.source import TimeAt
from schemas.topics import AGGREGATES, DAY_MS, MAX_MESSAGE_BYTES, UNITS, Topic
from schemas.topics import topics as every_topic
from schemas.written import Key

KEY = msgspec.json.schema(Key)["description"]
ROOT = Path(__file__).parents[1]
OPENAPI = OpenAPIConfig(title="Peekproof", version="", use_handler_docstrings=True)
TAGS = {  # of the OpenAPI document, and what we call them
    "evaluation": "Evaluate",
    "OpenFeature": "OpenFeature (OFREP)",
    "events": "Send",
    "results": "Read",
    "arriving": "What arrives",
    "questions": "Ask the archive",
    "notifications": "Notifications",
    "management": "Manage and lead",
    "documents": "Documents",
    "remembering": "Remember",
    "session": "Sign in and share",
    "on call": "On call",
}
PYTHON = {  # what `import peekproof` offers, by what one wants
    "Flags": ("load_flags", "Flags", "Answer", "Problem", "PeekproofError"),
    "Analysis": ("analyze", "analyze_table", "mean", "conversion", "Result"),
    "Metrics": ("Conversion", "Count", "Sum", "Mean", "Ratio", "Funnel", "Retention", "Percentile", "Distinct"),
    "Plans": ("plan", "PlannedSample"),
    "What was published": ("read", "Snapshot", "PublishedRun", "Course"),
}
METHODS = {
    "Flags": ("evaluate", "read", "write"),
    "Result": ("to_pandas", "to_polars", "to_arrow", "to_json", "plot"),
    "PlannedSample": ("to_arrow", "plot"),
    "Snapshot": ("experiment", "table"),
    "PublishedRun": ("look", "course"),
    "Course": ("to_arrow", "plot"),
}
PART = "Part"  # of a struct's name of which anything may be left out (see schemas/parts.py)
Row = Iterable[object]


def setup(app: Sphinx) -> dict[str, bool]:
    """Sphinx's way in."""
    app.connect("source-read", append)
    app.connect("source-read", caption)
    return {"parallel_read_safe": True}


def append(_: Sphinx, page: str, source: list[str]) -> None:
    """Put what the code knows behind what is written on a page."""
    if page in PAGES:
        source[0] += "\n" + "\n".join(PAGES[page]())


def caption(_: Sphinx, __: str, source: list[str]) -> None:
    """Show in which file a document would stand, and on which topic a record: what a block's first line says."""
    for language, name, shown in (("yaml", r"(\S+\.yaml)", r"configs/\1"), ("json", r"(\w+)", r"a record on \1")):
        block = f"```{{code-block}} {language}\n:caption: {shown}\n\n"
        source[0] = re.sub(rf"^```{language} {name}\n", block, source[0], flags=re.MULTILINE)


def table(head: Row, rows: Iterable[Row]) -> Iterator[str]:
    """The lines of a table."""
    yield _row(head)
    yield _row("---" for _ in head)
    yield from map(_row, rows)
    yield ""


def _row(cells: Row) -> str:
    return "| " + " | ".join(" ".join(str(cell).replace("|", r"\|").split()) for cell in cells) + " |"


def settings() -> Iterator[str]:
    """Every setting, as the settings file explains it, in its order."""
    defaults = msgspec.structs.asdict(Settings())
    for block in (ROOT / "configs/peekproof.toml").read_text().split("\n\n")[1:]:
        lines = [line.removeprefix("#").strip() for line in block.splitlines()]
        said = [line for line in lines if re.match(r"\w+ = ", line)]
        names = [line.split(" = ")[0] for line in said]
        yield f"## {', '.join(f'`{name}`' for name in names)}\n"
        yield " ".join(line for line in lines if line not in said) + "\n"
        yield "```toml\n" + "\n".join(said) + "\n```\n"
        yield from table(
            ("in the environment", "default"),
            ((f"`PEEKPROOF_{name.upper()}`", _default(name, defaults.pop(name))) for name in names),
        )
    if defaults:
        raise LookupError(f"configs/peekproof.toml says nothing of {', '.join(defaults)}")


def _default(name: str, value: object) -> str:
    durations = ("horizon", "tolerance", "archive_interval", "checkpoint_interval")
    for unit, size in (("h", 3_600_000), ("m", 60_000), ("s", 1_000)) if name in durations else ():
        if isinstance(value, int) and value % size == 0:
            return f"`{value // size}{unit}`"
    return "not set" if value in (None, "") else f"`{value}`"


def commands() -> Iterator[str]:
    """Every command with its own help."""
    yield from _commands(click.Context(command, info_name="peekproof"), 2)


def _commands(at: click.Context, depth: int) -> Iterator[str]:
    group = at.command
    for name in group.list_commands(at) if isinstance(group, click.Group) else ():
        found = group.get_command(at, name)
        if found is None or found.hidden:
            continue
        context = click.Context(found, info_name=name, parent=at, max_content_width=88, terminal_width=88)
        yield f"{'#' * depth} `{context.command_path}`\n"
        yield f"```text\n{found.get_help(context)}\n```\n"
        yield from _commands(context, depth + 1)


def presets() -> Iterator[str]:
    """What each preset maps; those that map alike together."""
    alike: dict[presets_of.PresetMap, list[str]] = {}
    for name, preset in presets_of.PRESETS.items():
        alike.setdefault(preset, []).append(name)
    yield "## What each preset maps\n"
    yield "Of several paths the first counts that is there.\n"
    for preset, names in alike.items():
        yield f"### {', '.join(f'`{name}`' for name in names)}\n"
        said = {field: getattr(preset.map, field) for field in preset.map.__struct_fields__}
        rows: list[Row] = [(f"`{field}`", _taken(taken)) for field, taken in said.items() if taken is not None]
        rows += [
            ("`where`", f"`{each.property}` {each.op} {', '.join(f'`{value}`' for value in each.values)}")
            for each in preset.where
        ]
        if preset.parse:
            rows.append(("`parse`", _taken(preset.parse)))
        yield from table(("field", "is taken from"), rows)


def _taken(taken: Any) -> str:
    unit = f", in `{taken.unit}`" if isinstance(taken, TimeAt) else ""
    paths = taken.path if isinstance(taken, TimeAt) else taken
    return ", ".join(f"`{path}`" for path in ([paths] if isinstance(paths, str) else paths)) + unit


def documents() -> Iterator[str]:
    """Every kind of document with its fields, from the schemas that editors read."""
    told = set[str]()
    for kind, struct in DOCUMENTS.items():
        if kind == "flag":  # as an experiment
            continue
        parts = msgspec.json.decode(json_schema(kind))["$defs"]
        whole = [name for name in parts if not name.endswith(PART)]
        own = [struct.__name__, *(name for name in whole if name != struct.__name__)]
        for name in own:
            if name not in told:
                told.add(name)
                title = "Flag and experiment" if name == "Flag" else _title(name)
                yield f"## {title}\n" if name == struct.__name__ else f"### {title}\n"
                yield parts[name]["description"] + "\n"
                yield from table(("field", "what it may be", "default"), _fields(parts[name]))


def _fields(part: dict[str, Any]) -> Iterator[Row]:
    for name, field in part["properties"].items():
        default = "**required**" if name in part.get("required", ()) else ""
        if "default" in field:
            default = "" if field["default"] in (None, [], {}, "") else f"`{_text(field['default'])}`"
        yield f"`{name}`", _type(field), default


def _text(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _type(field: dict[str, Any]) -> str:
    match field:
        case {"$ref": reference}:
            told = _link(reference.rpartition("/")[2])
        case {"enum": choices}:
            told = ", ".join(f"`{each}`" for each in choices)
        case {"type": "array", "items": item}:
            told = f"a list: {_type(item)}"
        case {"type": "object", "propertyNames": _, "additionalProperties": values}:
            told = f"by key: {_type(values)}"
        case {"type": "object"}:
            told = "anything by name"
        case {"description": str(description)}:
            told = "a key" if description == KEY else description
        case {"anyOf": [first, *_]}:
            told = _type(first)
        case {"type": "string" | ["string", "number"]}:
            told = "a text"
        case _:
            told = field.get("type", "any value")
    return told


def _link(name: str) -> str:
    if name.endswith(PART):
        return f"any part of {_link(name.removesuffix(PART))}"
    title = "Flag and experiment" if name == "Flag" else _title(name)
    return f"[{title}](#{title.lower().replace(' ', '-')})"


def _title(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)


def topics() -> Iterator[str]:
    """Every topic with its partitions and settings, what a record holds, and why a record may be a dead letter."""
    components = asyncapi("")["components"]
    schemas = components["schemas"]
    yield "## Topics\n"
    topics_of = every_topic(Settings().units_partitions)
    yield from table(("topic", "partitions", "kept", "times", "largest message"), map(_topic, topics_of))
    for name in ("Event", "Exposure", "Assignment"):
        yield from _record(name, schemas[name])
    for struct in TOLD:
        yield f"## {_title(struct.__name__)}\n"
        yield schemas[struct.__name__]["description"] + "\n"
        yield from table(("field", "unit", "what it means"), map(_told_field, fields(struct).values()))
    yield "## Dead letter\n"
    yield "The value is the input's own bytes; the rest stands in headers.\n"
    yield from table(("header", "what it means"), ((f"`{name}`", told) for name, told in HEADERS.items()))
    yield "## Reasons of dead letters\n"
    yield from table(("reason", "what it means"), ((f"`{reason}`", told) for reason, told in REASONS.items()))
    yield "## Between the stages\n"
    yield "Nobody else need read these; their form may change with a version.\n"
    between = ((UNITS, BYTES[UNITS][1]), (AGGREGATES, schemas["Aggregate"]["description"]))
    yield from table(("topic", "what a record holds"), ((f"`{name}`", told) for name, told in between))
    for name in ("WorkerHealth", "PartitionHealth", "RecountHealth"):
        yield from _record(name, schemas[name])


def _record(name: str, schema: dict[str, Any]) -> Iterator[str]:
    """A record's fields, as its schema tells them."""
    yield f"## {_title(name)}\n"
    yield schema["description"] + "\n"
    told = schema["properties"].values()
    bare = {field: each | {"description": None} for field, each in schema["properties"].items()}
    rows = (
        (field, f"{kind}, {each['x-unit']}" if "x-unit" in each else kind, default, each["description"])
        for (field, kind, default), each in zip(_fields(schema | {"properties": bare}), told, strict=True)
    )
    yield from table(("field", "what it may be", "default", "what it means"), rows)


def _told_field(field: Field) -> Row:
    return f"`{field.name}`", "" if field.unit == "none" else field.unit, field.meaning


def _topic(topic: Topic) -> Row:
    config, for_ever = topic.config, topic.config.get("retention.ms") == "-1"
    days = int(config.get("retention.ms", 0)) // DAY_MS
    kept = "the newest of each key" if config["cleanup.policy"] == "compact" else f"{days} day{'s' * (days > 1)}"
    times = "set by the broker" if "message.timestamp.type" in config else "set by the producer"
    largest = "what the broker takes (1 MB unless it is told otherwise)"
    if "max.message.bytes" in config:
        largest = f"{int(config['max.message.bytes']) // 1_000_000} MB"
    return f"`{topic.name}`", topic.partitions, "for ever" if for_ever else kept, times, largest


def http() -> Iterator[str]:
    """Every route, from the OpenAPI document."""
    backend = {"backend": Provide(lambda: None, sync_to_thread=False)}
    paths = Litestar(API, dependencies=backend, openapi_config=OPENAPI).openapi_schema.to_schema()["paths"]
    routes = [
        (operation["tags"][0], f"`{method.upper()} {path}`", operation)
        for path, operations in sorted(paths.items())
        for method, operation in operations.items()
    ]
    assert TAGS.keys() == {tag for tag, _, _ in routes}
    for tag, title in TAGS.items():
        yield f"## {title}\n"
        rows = [(route, _told(operation), _asked(operation)) for tagged, route, operation in routes if tagged == tag]
        yield from table(("route", "what it does", "parameters"), rows)


def _told(operation: dict[str, Any]) -> str:
    return operation.get("description") or operation["summary"]


def _asked(operation: dict[str, Any]) -> str:
    return ", ".join(f"`{each['name']}`" for each in operation.get("parameters", ()) if each["in"] != "path")


def tables() -> Iterator[str]:
    """Every table of the snapshot with its columns, as their comments say."""
    for each in (*snapshot.COPIED, *snapshot.COMPUTED, *snapshot.VIEWS):
        yield f"## `{each.name}`\n"
        yield each.comment + "\n"
        rows = ((f"`{column.name}`", f"`{column.type}`", column.comment) for column in each.columns)
        yield from table(("column", "type", "what it means"), rows)


def limits() -> Iterator[str]:
    """How much of each there may be, by the constants that say so."""
    yield "## Limits\n"
    mb = 1_000_000
    rows = [
        ("a message: an event or an exposure", f"{scanning.LARGEST_OBJECT // mb} MB, {nesting.DEEPEST} levels deep"),
        ("a text that is read of a message, such as an id", f"{scanning.LONGEST_TEXT:,} characters"),
        ("an Arrow record on `exposures` or `events`", f"{arrow.MOST_ROWS:,} rows"),
        ("what the messages of one record feed, each metric counted", f"{portions.MOST_ROWS:,}"),
        ("a record on `units`, `aggregates`, `results`, `catalog`", f"{MAX_MESSAGE_BYTES // mb} MB"),
        ("a dead letter; what is larger is cut", f"{LARGEST_DEAD_LETTER / mb:g} MB"),
        ("a document", f"{LARGEST_DOCUMENT / mb:g} MB"),
        ("a request to `/2/httpapi`", f"{LARGEST_UPLOAD // mb} MB, {uploads.MOST_EVENTS:,} events"),
        ("a request to `/batch`", f"{LARGEST_BATCH // mb} MB, {uploads.MOST_EVENTS:,} events"),
        ("units that a server remembers for sticky flags", f"{sticky.MOST_UNITS:,}"),
        ("events of a unit in an hour that a funnel or retention reads", f"{measures.MOST_EVENTS:,}"),
        ("a unit's number in the smallest step that is counted", "2^62"),
        *_longest(),
    ]
    yield from table(("what", "at most"), rows)


def _longest() -> Iterator[Row]:
    """The lists of documents that may not be of any length."""
    told = set[tuple[str, str]]()
    for kind in DOCUMENTS:
        for struct, part in msgspec.json.decode(json_schema(kind))["$defs"].items():
            for name, field in part["properties"].items():
                if "maxItems" in field and (struct, name) not in told:
                    told.add((struct, name))
                    yield f"`{name}` of a {_title(struct).lower()}", f"{field['maxItems']:,}"


def python() -> Iterator[str]:
    """What `import peekproof` offers, as its docstrings say."""
    for title, names in PYTHON.items():
        yield f"## {title}\n"
        for name in names:
            yield from _public(name)


def _public(name: str) -> Iterator[str]:
    public = getattr(peekproof, name)
    yield f"### `{name}`\n"
    if inspect.isfunction(public):
        yield _signature(name, public)
    elif dataclasses.is_dataclass(public):
        yield f"```python\n{name}{_plainly(inspect.signature(public))}\n```\n"
    yield _documented(public)
    for method in METHODS.get(name, ()):
        bound = inspect.getattr_static(public, method)
        bound = bound.__func__ if isinstance(bound, classmethod) else bound
        yield f"#### `{name}.{method}`\n"
        if inspect.isfunction(bound):
            yield _signature(method, bound)
        yield _documented(bound)


def _documented(public: object) -> str:
    """A docstring, its examples as blocks of code."""
    text = inspect.getdoc(public) or ""
    return re.sub(r"((?:^ *>>> .*\n?)(?:^.+\n?)*)", r"```pycon\n\1\n```\n", text, flags=re.MULTILINE) + "\n"


def _plainly(signature: inspect.Signature) -> str:
    """Of a class of fields: what can be said of it."""
    told = [
        parameter.name if parameter.default is parameter.empty else f"{parameter.name} = {parameter.default!r}"
        for parameter in signature.parameters.values()
    ]
    return f"({told[0]}, *, {', '.join(told[1:])})"


def _signature(name: str, function: Callable[..., Any]) -> str:
    (written,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    assert isinstance(written, ast.FunctionDef)
    assert written.returns
    parameters = re.sub(r"^(self|cls)(, )?", "", ast.unparse(written.args)).replace("=None", " = None")
    returned = ast.unparse(written.returns).strip("'")
    return f"```python\n{name}({parameters}) -> {returned}\n```\n"


def rooms() -> Iterator[str]:
    """The packages and their rooms, floor by floor, as the contracts of imports have them."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    for contract in contracts:
        for package in contract.get("containers", ()):
            floors = [floor.split(" | ") for floor in contract["layers"]]
            yield f"### `{package}/`\n"
            yield _drawing(package, floors) + "\n"
            yield from table(
                ("room", "what it knows"), ((f"`{room}`", _about(package, room)) for floor in floors for room in floor)
            )


def _about(package: str, room: str) -> str:
    path = ROOT / package / room
    module = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    told = (ast.get_docstring(ast.parse(module.read_text())) or "").split("\n\n")[0]
    return told.partition(": ")[2] or told


def _drawing(package: str, floors: list[list[str]]) -> str:
    """Floors above each other, each of boxes side by side: a picture in which imports lead downwards."""
    width, height, gap = 720, 34, 8
    parts = []
    for i, floor in enumerate(floors):
        wide = (width - gap * (len(floor) + 1)) / len(floor)
        for j, room in enumerate(floor):
            x, y = gap + j * (wide + gap), gap + i * (height + gap)
            box = f'x="{x:g}" y="{y}" width="{wide:g}" height="{height}" rx="4" fill="#e8f0f7" stroke="#1f5f8b"'
            parts.append(f'<rect {box}/><text x="{x + wide / 2:g}" y="{y + 22}">{room}</text>')
    tall = gap + len(floors) * (height + gap)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {tall}" role="img" '
        f'aria-label="The floors of {package}"><rect width="{width}" height="{tall}" fill="#fdfcf9"/>'
        '<g font-family="system-ui, sans-serif" font-size="14" text-anchor="middle" fill="#1c1c1c">'
        + "".join(parts)
        + "</g></svg>"
    )


def events() -> Iterator[str]:
    """Of what people are told, and which settings each event takes."""
    yield "## Events\n"
    rows = (
        (f"`{name}`", told.when, _said(told.lasts or ("`settle`" if told.settles else None)), _said(told.above))
        for name, told in OCCURRENCES.items()
    )
    yield from table(("event", "it comes about when", "`for`, unless said", "`above`, unless said"), rows)


def _said(value: object) -> str:
    return "" if value is None else str(value)


def deployments() -> Iterator[str]:
    """What some sizes need."""
    head = ("records a second", "experiments", "units", "cores", "workers: assignment + aggregation + significance")
    head += ("GB of memory", "Kafka takes / gives, MB a second", "Kafka keeps, GB", "archive, GB a day")
    yield from table(head, sizes.rows())


PAGES: dict[str, Callable[[], Iterator[str]]] = {
    "architecture": rooms,
    "operate/notifications": events,
    "operate/size": deployments,
    "sources": presets,
    "reference/settings": settings,
    "reference/documents": documents,
    "reference/commands": commands,
    "reference/topics": topics,
    "reference/http": http,
    "reference/tables": tables,
    "reference/python": python,
    "reference/limits": limits,
}
