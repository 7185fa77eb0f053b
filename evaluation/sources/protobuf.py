"""Protobuf: what was serialized by a schema of Protobuf, in Python's types.

Fields have the names that the schema gives them. One that was not written is missing where the schema can tell, and
else 0, false or empty, or what proto2 says in its place. Enums are their names, times and durations as Protobuf writes
them in JSON, wrappers and structs plain values.
"""

from collections.abc import Callable
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import Error as JsonError
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from schemas.writer_schema import WriterSchema

PROTOBUF_ERRORS = (DecodeError, JsonError, LookupError, ValueError)
MOST_INDICES = 64

Said = Callable[[Any], Any]


def protobuf_reader(schema: WriterSchema) -> Callable[[bytes], Any]:
    """Reads what was serialized; raises `PROTOBUF_ERRORS`. Raises ValueError where the schema is of no use."""
    pool = DescriptorPool()
    try:
        files = FileDescriptorSet.FromString(schema.files).file
        for file in files:
            pool.Add(file)
    except (DecodeError, TypeError) as error:
        why = f"the schema is none of Protobuf that can be read: {error}"
        raise ValueError(f"{why}; register one that can be read, and write by that") from error
    saying: dict[str, Said] = {}
    readers: dict[tuple[int, ...], Callable[[bytes], Any]] = {}

    def read(data: bytes) -> Any:
        place, begin = _place(data)
        if place not in readers:
            descriptor = pool.FindMessageTypeByName(_name(files[-1], place))
            parse, say = GetMessageClass(descriptor).FromString, _message(descriptor, saying)
            readers[place] = lambda serialized: say(parse(serialized))
        return readers[place](data[begin:])

    return read


def _place(data: bytes) -> tuple[tuple[int, ...], int]:
    """Which message of the file it is, by the indices that lead to it, and where what was serialized begins."""
    if data[:1] == b"\0":
        return (0,), 1
    number, at = _integer(data, 0)
    if not 0 < number <= MOST_INDICES:
        raise ValueError(f"it says that {number} indices lead to its message")
    indices = []
    for _ in range(number):
        index, at = _integer(data, at)
        indices.append(index)
    return tuple(indices), at


def _integer(data: bytes, at: int) -> tuple[int, int]:
    """A whole number in as few bytes as it needs (zigzag), and what is behind it."""
    value = shift = 0
    while shift < 35:
        if at >= len(data):
            raise ValueError("it ends within the indices that lead to its message")
        value |= (data[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if data[at - 1] < 0x80:
            return value >> 1 ^ -(value & 1), at
    raise ValueError("the indices that lead to its message are no numbers")


def _name(file: FileDescriptorProto, place: tuple[int, ...]) -> str:
    names, messages = [file.package] if file.package else [], list(file.message_type)
    for index in place:
        if not 0 <= index < len(messages):
            raise ValueError(f"its schema has no message at {', '.join(map(str, place))}")
        names.append(messages[index].name)
        messages = [each for each in messages[index].nested_type if not each.options.map_entry]
    return ".".join(names)


def _message(message: Descriptor, known: dict[str, Said]) -> Said:
    """Says what a message of this kind holds."""
    if message.full_name in _OWN_WAY:
        return _OWN_WAY[message.full_name]
    if message.full_name in known:
        return known[message.full_name]
    fields: list[tuple[str, bool, Said | None]] = []

    def say(value: Any) -> dict[str, Any]:
        said = {}
        for name, may_lack, of in fields:
            if may_lack and not value.HasField(name):
                continue
            found = getattr(value, name)
            said[name] = found if of is None else of(found)
        return said

    known[message.full_name] = say  # messages may hold their like
    fields += [
        (field.name, field.has_presence and not field.has_default_value, _field(field, known))
        for field in message.fields
    ]
    return say


def _field(field: FieldDescriptor, known: dict[str, Said]) -> Said | None:
    """Says what a field holds; None: the value as it is."""
    message = field.message_type
    if message is not None and message.GetOptions().map_entry:
        key, value = message.fields_by_name["key"], _one(message.fields_by_name["value"], known)
        text = (lambda each: str(each).lower()) if key.type == FieldDescriptor.TYPE_BOOL else str
        return lambda found: {text(name): value(each) if value else each for name, each in found.items()}
    one = _one(field, known)
    if not field.is_repeated:
        return one
    return list if one is None else lambda found: [one(each) for each in found]


def _one(field: FieldDescriptor, known: dict[str, Said]) -> Said | None:
    if field.message_type is not None:
        return _message(field.message_type, known)
    if field.enum_type is None:
        return None
    names = {number: value.name for number, value in field.enum_type.values_by_number.items()}
    return lambda number: names.get(number, number)


def _in_words(value: Any) -> Any:
    """As Protobuf writes it in JSON; a time beyond the year 9999 as it is."""
    try:
        return value.ToJsonString()
    except ValueError:
        return {field.name: found for field, found in value.ListFields()}


_OWN_WAY: dict[str, Said] = {
    **dict.fromkeys(("google.protobuf.Timestamp", "google.protobuf.Duration"), _in_words),
    **dict.fromkeys(
        ("google.protobuf.Struct", "google.protobuf.Value", "google.protobuf.ListValue", "google.protobuf.FieldMask"),
        MessageToDict,
    ),
    **{
        f"google.protobuf.{name}Value": lambda value: value.value
        for name in ("Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes")
    },
}
