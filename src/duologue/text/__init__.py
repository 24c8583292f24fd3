"""English text to sentences, phones and token ids; scripts to turns."""
