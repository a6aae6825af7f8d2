"""Tables in Markdown, and their places in a document."""


def table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def marks(path, name):
    """The lines in a document between which the table of this name stands."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    if not path.exists() or begin not in path.read_text() or end not in path.read_text():
        raise SystemExit(f"{path} lacks the lines {begin} and {end}")
    return begin, end


def write_into(path, text, name):
    begin, end = marks(path, name)
    before, rest = path.read_text().split(begin, 1)
    path.write_text(f"{before}{begin}\n{text}\n{end}{rest.split(end, 1)[1]}")
