"""`python -m duologue.evaluation` is the evaluation of a voice."""

from .voice import main

main()
