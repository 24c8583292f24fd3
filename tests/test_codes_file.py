"""Codes on disk: every form gives back what was written, and the plain list is frame after frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duologue.codes_file import read_codes, write_codes
from duologue.errors import InputError


@settings(max_examples=20)
@given(st.sampled_from([".txt", ".npy", ".safetensors"]), st.integers(1, 32), st.integers(1, 30), st.integers(0, 99))
def test_each_form_round_trips(
    tmp_path_factory: pytest.TempPathFactory, ending: str, books: int, frames: int, seed: int
) -> None:
    path = tmp_path_factory.mktemp("codes") / f"c{ending}"
    codes = np.random.default_rng(seed).integers(0, 2048, (books, frames))
    write_codes(codes, path)
    assert np.array_equal(read_codes(path, books), codes)


def test_the_plain_list_holds_all_codes_of_a_frame_before_the_next(tmp_path: Path) -> None:
    write_codes(np.array([[1, 4], [2, 5], [3, 6]]), tmp_path / "c.txt")
    assert (tmp_path / "c.txt").read_text().split() == ["1", "2", "3", "4", "5", "6"]


@pytest.mark.parametrize("text", ["", "1\n2\n3\n", "1 2 x 4", "-1\n2", "99999999999\n1", "é\n1"])
def test_what_is_no_list_of_codes_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "c.txt").write_text(text)
    with pytest.raises(InputError):
        read_codes(tmp_path / "c.txt", 2)


def test_other_files_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "float.npy", np.ones((2, 2)))
    np.save(tmp_path / "flat.npy", np.ones(4, np.int64))
    (tmp_path / "broken.npy").write_bytes(b"\x93NUMPY\x01\x00")
    (tmp_path / "broken.safetensors").write_bytes(b"1234567890")
    for name in ("float.npy", "flat.npy", "broken.npy", "broken.safetensors", "absent.txt", "c.gguf"):
        with pytest.raises(InputError):
            read_codes(tmp_path / name, 2)
