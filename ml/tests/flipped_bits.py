"""Damages files by one bit, as a disk does."""

DIGITS = b"0123456789"


def flip_a_bit(path):
    """Flip the lowest bit of the last digit: JSON stays JSON, so only its hash tells."""
    content = bytearray(path.read_bytes())
    position = max(content.rfind(digit) for digit in DIGITS)
    content[position] ^= 1
    path.write_bytes(content)
