"""The tables of runtimes in ``docs/runtimes.md``, from the catalogue: ``python -m ...contract.runtime_tables``."""

from tidegate.serving.contract.catalogue import RuntimeKind


def image_table() -> str:
    """Markdown: a line for each runtime."""
    lines = ["| Image | Model data | Extra | Requests |", "|---|---|---|---|"]
    for kind in RuntimeKind:
        row = kind.descriptor
        images = ", ".join(f"`{image.shown}`" for image in row.images) or "a name of your own"
        extra = f"`{row.extra}`" if row.extra else "none"
        lines.append(f"| {images} | {row.model_data} | {extra} | {row.requests} |")
    return "\n".join(lines)


def file_table() -> str:
    """Markdown: a line for each runtime that ``tidegate/auto`` finds by its files."""
    lines = [
        "| Runtime | A file that describes the folder | Its own files | Files where there are none of these |",
        "|---|---|---|---|",
    ]
    for kind in RuntimeKind:
        row = kind.descriptor
        columns = [[row.folder_file] if row.folder_file else [], row.certain_files, row.possible_files]
        if any(columns):
            cells = [", ".join(f"`{name}`" for name in names) for names in columns]
            lines.append(f"| {' | '.join([row.title, *cells])} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(image_table(), file_table(), sep="\n\n")
