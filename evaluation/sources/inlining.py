"""Inlining: texts that hold JSON, put in their own place, so that paths lead on into them.

A text that holds no object or list stays what it is. What the kernels are not sure of is read one by one, with the same
result.
"""

from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache

import msgspec
import numpy as np
from numba import njit
from numpy.typing import NDArray

from evaluation.columns.arrays import Words
from evaluation.columns.memory import byte_at, copy
from evaluation.columns.nesting import DEEPEST, json_depth
from evaluation.columns.path_scanning import PathTree, Steps, View, scan_paths
from evaluation.columns.texts import as_bytes
from evaluation.sources.spans import Spans

_NOWHERE = PathTree({})
_OPENS = (b"{", b"[")


def inlined(spans: Spans, places: tuple[Steps, ...]) -> Spans:
    """The JSON of these spans, in which what is JSON of the texts at these places stands instead of them."""
    for tree in _rounds(places):
        if len(spans):
            spans = _inlined(spans, tree)
    return spans


@lru_cache(maxsize=64)
def _rounds(places: tuple[Steps, ...]) -> list[PathTree]:
    """What is read at once: a place that lies within another one's text comes later."""
    depth = {place: sum(place[:n] in places for n in range(len(place))) for place in places}
    return [
        PathTree({place: View.JSON for place, its in depth.items() if its == level})
        for level in sorted(set(depth.values()))
    ]


def _inlined(spans: Spans, tree: PathTree) -> Spans:
    columns, odd = scan_paths(spans.data, spans.start, spans.length, tree, is_any=True)
    texts = [columns.json[place] for place in tree.views]
    data = texts[0].data
    start, length = np.stack([each.start for each in texts]), np.stack([each.length for each in texts])
    sizes = np.concatenate([[0], np.cumsum(np.maximum(length, 0).ravel())])
    inner = np.empty(int(sizes[-1]), np.uint8)
    inner_start, inner_length = sizes[:-1].reshape(length.shape), np.full(length.shape, -1)
    _unescape(data, start, length, inner, inner_start, inner_length)
    _forget_others(inner, inner_start, inner_length)
    if not odd.any() and (inner_length < 0).all():
        return spans
    length = np.where(inner_length < 0, -1, length)
    whole = spans.length + np.where(length < 0, 0, inner_length - length).sum(axis=0)
    others = [(i, _one(spans.value(i), tree.views)) for i in np.flatnonzero(odd).tolist()]
    for i, value in others:
        whole[i] = len(value)
    ends = np.cumsum(whole)
    out = np.empty(int(ends[-1]), np.uint8)
    _splice(data, spans.start, spans.length, odd, start, length, inner, inner_start, inner_length, out, ends - whole)
    for i, value in others:
        out[ends[i] - whole[i] : ends[i]] = as_bytes(value)
    out.flags.writeable = False
    return replace(spans, data=out, start=ends - whole, length=whole)


def _forget_others(inner: NDArray[np.uint8], start: Words, length: Words) -> None:
    """Those that are no JSON are as good as not there."""
    at = np.flatnonzero(length.ravel() >= 0)
    begins, sizes = start.ravel()[at], length.ravel()[at]
    _, unsure = scan_paths(inner, begins, sizes, _NOWHERE, is_any=True)
    for k in np.flatnonzero(unsure).tolist():
        if not _is_json(inner[begins[k] : begins[k] + sizes[k]].tobytes()):
            length.reshape(-1)[at[k]] = -1


def _is_json(text: bytes) -> bool:
    if not text.lstrip(b" \t\r\n").startswith(_OPENS) or json_depth(text) > DEEPEST:
        return False
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return True


def _one(value: bytes, places: Iterable[Steps]) -> bytes:
    """The same of one value; what is no JSON is for its reader to tell."""
    if json_depth(value) <= DEEPEST:
        for place in places:
            try:
                value = _within(value, place)
            except (msgspec.DecodeError, UnicodeDecodeError, LookupError):
                continue
    return value


def _within(value: bytes, steps: Steps) -> bytes:
    """Raises msgspec's errors and LookupError where the steps lead nowhere."""
    if not steps:
        text = msgspec.json.decode(value, type=str).encode()
        return text if _is_json(text) else value
    step, rest = steps[0], steps[1:]
    if isinstance(step, str):
        fields = msgspec.json.decode(value, type=dict[str, msgspec.Raw])
        return msgspec.json.encode(fields | {step: msgspec.Raw(_within(bytes(fields[step]), rest))})
    items = msgspec.json.decode(value, type=list[msgspec.Raw])
    items[step] = msgspec.Raw(_within(bytes(items[step]), rest))
    return msgspec.json.encode(items)


@njit(cache=True)
def _digit(c):  # type: ignore[no-untyped-def]
    return c - 48 if c <= 57 else (c | 32) - 87


@njit(cache=True)
def _unescape(b, start, length, out, out_start, out_length):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    """The texts of the strings among these values that begin as an object or a list does.

    The scanner has seen to it that every escape is one, and none of a surrogate.
    """
    for k in range(start.shape[0]):
        for r in range(start.shape[1]):
            if length[k, r] < 4 or byte_at(b, start[k, r]) != 34:
                continue
            i = start[k, r] + 1
            end = start[k, r] + length[k, r] - 1
            while i < end and byte_at(b, i) == 32:
                i += 1
            if byte_at(b, i) != 92 and byte_at(b, i) | 32 != 123:
                continue
            first = out_start[k, r]
            at = first
            while i < end:
                c = np.int64(byte_at(b, i))
                i += 1
                if c == 92:
                    c = np.int64(byte_at(b, i))
                    i += 1
                    if c == 117:
                        c = np.int64(0)
                        for j in range(i, i + 4):
                            c = c * 16 + _digit(np.int64(byte_at(b, j)))
                        i += 4
                        if c >= 0x800:
                            out[at] = 0xE0 | c >> 12
                            out[at + 1] = 0x80 | c >> 6 & 0x3F
                            at += 2
                            c = 0x80 | c & 0x3F
                        elif c >= 0x80:
                            out[at] = 0xC0 | c >> 6
                            at += 1
                            c = 0x80 | c & 0x3F
                    elif c == 110:
                        c = np.int64(10)
                    elif c == 116:
                        c = np.int64(9)
                    elif c == 114:
                        c = np.int64(13)
                    elif c == 98:
                        c = np.int64(8)
                    elif c == 102:
                        c = np.int64(12)
                out[at] = c
                at += 1
            i = first
            while i < at and (byte_at(out, i) == 32 or 9 <= byte_at(out, i) <= 10 or byte_at(out, i) == 13):
                i += 1
            if i < at and byte_at(out, i) | 32 == 123:
                out_length[k, r] = at - first


@njit(cache=True)
def _splice(  # type: ignore[no-untyped-def]  # noqa: PLR0917
    b, start, length, odd, cut_start, cut_length, inner, inner_start, inner_length, out, out_start
):
    for r in range(start.size):
        if odd[r]:
            continue
        i, at, end = start[r], out_start[r], start[r] + length[r]
        while True:
            k = -1
            for each in range(cut_start.shape[0]):  # the next one
                is_ahead = cut_length[each, r] >= 0 and cut_start[each, r] >= i
                if is_ahead and (k < 0 or cut_start[each, r] < cut_start[k, r]):
                    k = each
            until = end if k < 0 else cut_start[k, r]
            copy(out, at, b, i, until - i)
            at += until - i
            if k < 0:
                break
            copy(out, at, inner, inner_start[k, r], inner_length[k, r])
            at += inner_length[k, r]
            i = until + cut_length[k, r]
