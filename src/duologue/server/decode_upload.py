"""A process of its own that turns one untrusted audio file on stdin into samples on stdout, within hard limits.

A decoder that hangs, eats memory or crashes takes this process with it and nothing else. Exit code 2: the file is at
fault, and stderr says how.
"""

from __future__ import annotations

import resource
import sys

from ..audio_files import read_audio
from ..errors import AudioError

MEMORY_BYTES = 2 * 2**30
CPU_SECONDS = 20


def main(arguments: list[str]) -> int:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        audio = read_audio(sys.stdin.buffer.read(), max_seconds=float(arguments[0]))
    except AudioError as error:
        print(error, file=sys.stderr)
        return AudioError.exit_code
    sys.stdout.buffer.write(audio.samples.astype("<f4").tobytes())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
