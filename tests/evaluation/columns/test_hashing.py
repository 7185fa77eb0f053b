import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st
from mmh3 import mmh3_32_uintdigest as murmur3

from evaluation.columns.hashing import bucket_hashes, position_hashes, text_hashes, unit_hashes
from evaluation.columns.names import Names
from evaluation.columns.texts import Texts

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "hashing.json").read_text())
SOME = st.text(st.characters(exclude_categories=["Cs"]), max_size=80)


@pytest.mark.parametrize("vector", VECTORS["murmur3_x86_32"]["vectors"], ids=lambda v: v["salt"])
def test_a_bucket_is_the_one_that_amplitudes_engines_compute(vector):
    (bucket,) = bucket_hashes(vector["salt"], pa.array([vector["value"]])).tolist()

    assert bucket == vector["hash"]
    if "allocation" in vector:
        assert divmod(bucket, 100) == (vector["distribution"], vector["allocation"])


@pytest.mark.parametrize("vector", VECTORS["murmur3_x86_32"]["plain"], ids=lambda v: v["text"])
def test_murmur3_agrees_with_amplitudes_vectors_of_plain_text(vector):
    assert murmur3(vector["text"].encode()) == vector["hash"]


@pytest.mark.parametrize("vector", VECTORS["xxh64"]["vectors"], ids=lambda v: v["type"] + v["id"][:9])
def test_the_hash_of_a_unit_is_fixed_for_ever(vector):
    assert unit_hashes(vector["type"], pa.array([vector["id"]])).tolist() == [int(vector["hash"])]


@given(st.lists(st.none() | SOME), st.sampled_from(["user_id", "groups.org", "user_properties.Ä"]))
def test_xxh64_agrees_with_the_reference_implementation(texts, unit_type):
    expected = [0 if t is None else xxhash.xxh64(t.encode()).intdigest() for t in texts]
    of_units = [0 if t is None else xxhash.xxh64(f"{unit_type}\0{t}".encode()).intdigest() for t in texts]

    assert text_hashes(pa.array(texts, pa.string())).tolist() == expected
    assert text_hashes(Texts.of(texts)).tolist() == expected
    assert unit_hashes(unit_type, pa.array(texts, pa.string())).tolist() == of_units


def test_every_length_up_to_several_blocks_hashes_like_the_reference():
    texts = ["é" * (n // 2) + "x" * (n % 2) for n in range(150)]

    assert text_hashes(pa.array(texts)).tolist() == [xxhash.xxh64(text.encode()).intdigest() for text in texts]


def test_a_position_hashes_as_its_written_form():
    offset, index = np.array([0, 9, 10, 99, 100, 2**53, 2**62]), np.array([0, 1, 10, 0, 7, 3, 123_456])

    hashes = position_hashes("dev.events", 12, offset, index).tolist()

    assert hashes == [
        xxhash.xxh64(f"dev.events/12/{o}/{i}".encode()).intdigest()
        for o, i in zip(offset.tolist(), index.tolist(), strict=True)
    ]


def test_a_sliced_array_hashes_as_its_own_strings():
    texts = pa.array(["a", None, "bc", "", "def"])

    assert text_hashes(texts.slice(2, 3)).tolist() == text_hashes(pa.array(["bc", "", "def"])).tolist()


@given(st.lists(SOME, unique=True), st.lists(st.none() | SOME))
def test_names_are_found_by_their_bytes_whatever_their_length(names, others):
    texts = [*names, *others]

    codes = Names(tuple(names)).codes(Texts.of(texts)).tolist()

    assert codes == [-2 if t is None else names.index(t) if t in names else -1 for t in texts]
