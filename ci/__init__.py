"""What CI does with a change: reruns what it touched, compares it with its base, and judges it."""
