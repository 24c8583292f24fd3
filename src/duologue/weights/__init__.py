"""Weight files: where they are, whose layout they have, what they hold."""
