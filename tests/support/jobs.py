"""What tests give an engine to do; workers import it."""


def job(item: str) -> str:
    """Fails where an item says so; else returns it in capitals."""
    if item == "mistake":
        raise KeyError("hashes")
    return item.upper()
