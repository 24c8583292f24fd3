"""Telephone sound against FFmpeg's codecs, value for value."""

from __future__ import annotations

import av
import numpy as np
import pytest

from duologue.server.realtime import g711

LAWS = [("pcm_mulaw", g711.encode_ulaw, g711.decode_ulaw), ("pcm_alaw", g711.encode_alaw, g711.decode_alaw)]


@pytest.mark.parametrize(("codec", "encode", "decode"), LAWS)
def test_every_byte_means_what_ffmpeg_says(codec: str, encode: object, decode: object) -> None:
    context = av.CodecContext.create(codec, "r")
    context.sample_rate, context.layout = 8_000, "mono"
    (frame,) = context.decode(av.Packet(bytes(range(256))))
    ours = decode(bytes(range(256))) * 32_768  # type: ignore[operator]
    np.testing.assert_array_equal(ours, frame.to_ndarray()[0])


@pytest.mark.parametrize(("codec", "encode", "decode"), LAWS)
def test_every_sample_becomes_the_nearest_value_there_is(codec: str, encode: object, decode: object) -> None:
    samples = np.arange(-32_768, 32_768).astype(np.float32) / 32_768
    values = decode(bytes(range(256)))  # type: ignore[operator]
    back = decode(encode(samples))  # type: ignore[operator]
    steps = np.sort(values)
    widest = np.diff(steps)[np.clip(np.searchsorted(steps, samples) - 1, 0, 254)]
    assert np.all(np.abs(back - samples)[300:-300] <= widest[300:-300] + 1e-6)
    assert np.all(np.diff(back) >= 0)
    np.testing.assert_array_equal(decode(encode(values)), values)  # type: ignore[operator]
