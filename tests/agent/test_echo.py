"""Our own voice in the microphone is told from somebody else's, through a room, and with both at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from duologue.agent.echo import EchoGuard
from duologue.agent.parts import Block
from duologue.audio import to_audio
from duologue.evaluation.voice_to_voice_callers import Room

SPEECH = to_audio(Path(__file__).parents[1] / "data" / "librivox_austen.flac").samples
OURS, THEIRS = SPEECH[: 5 * 24_000], SPEECH[16 * 24_000 : 21 * 24_000]


def share_of_echo(theirs: np.ndarray, ours: np.ndarray, room: Room | None) -> float:
    """Share of the loud blocks of the second half that are taken for echo."""
    guard, found = EchoGuard(), []
    for start in range(0, len(ours) - 768, 768):
        played, said = ours[start : start + 768], theirs[start : start + 768]
        heard = said if room is None else (said + room.step(played)).astype(np.float32)
        guard.push(Block(heard, played))
        if start > len(ours) // 2 and np.abs(heard).max() > 0.03:
            found.append(guard.is_echo)
    return float(np.mean(found))


@pytest.mark.parametrize(("delay", "level"), [(0.03, 0.3), (0.12, 0.2), (0.25, 0.5)])
def test_a_room_that_gives_our_voice_back_is_heard_as_echo(delay: float, level: float) -> None:
    assert share_of_echo(np.zeros_like(OURS), OURS, Room(delay, level)) > 0.9


def test_somebody_else_is_not_echo() -> None:
    assert share_of_echo(THEIRS, OURS, None) < 0.05


def test_speech_that_begins_just_after_ours_is_not_its_echo() -> None:
    """Both rise from silence, a fifth of a second apart: any two beginnings are somewhat alike."""
    pause = np.zeros(24_000, np.float32)
    ours = np.concatenate([pause, SPEECH[int(7.25 * 24_000) : int(10.1 * 24_000)]])
    theirs = np.concatenate([pause, np.zeros(4_800, np.float32), SPEECH[int(21.55 * 24_000) : int(24.2 * 24_000)]])
    guard, found = EchoGuard(), []
    for start in range(0, len(theirs) - 768, 768):
        guard.push(Block(theirs[start : start + 768], ours[start : start + 768]))
        if np.abs(theirs[start : start + 768]).max() > 0.03:
            found.append(guard.is_echo)
    assert found.index(False) <= 7, "a quarter of a second, which the padding of a turn gives back"
    assert not any(found[8:])


def test_somebody_who_speaks_over_the_echo_is_heard() -> None:
    assert share_of_echo(THEIRS, OURS, Room(0.08, 0.2)) < 0.5


def test_without_our_voice_there_is_no_echo() -> None:
    assert share_of_echo(THEIRS, np.zeros_like(THEIRS), Room(0.08, 0.5)) == 0
