"""OpenAI's Realtime API over a WebSocket: a spoken conversation as events, GA names and shapes."""
