"""What measurements are written down as."""


def table(head: str, *rows: tuple[object, ...]) -> list[str]:
    """A Markdown table; `head` names the columns, separated by |."""
    columns = head.count("|") + 1
    return [f"| {head} |", "|" + " --- |" * columns, *("| " + " | ".join(map(str, row)) + " |" for row in rows), ""]
