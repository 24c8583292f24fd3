"""The HTTP server: speech for clients that already exist, conversations, and a page. Install with `duologue[serve]`."""
