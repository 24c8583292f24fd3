"""The codec: 24 kHz sound to codes, twelve and a half frames a second, and back."""
