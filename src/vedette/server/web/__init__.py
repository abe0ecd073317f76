"""What all pages share: the frame, the style, files that never change, the live stream. Knows no slice."""
