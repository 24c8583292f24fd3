"""That speech is made by a machine, said wherever an answer has room for it: a header, and the comment of a file."""

NOTICE = "AI-generated speech"
HEADER = {"x-duologue-notice": NOTICE}
