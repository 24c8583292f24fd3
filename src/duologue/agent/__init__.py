"""What a spoken conversation needs beside the voice: ears that read, and somebody who thinks."""
