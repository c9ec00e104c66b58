"""Text that has no encoding: halves of surrogate pairs, which JSON can spell and UTF-8 cannot. Pure."""


def replace_surrogates(text: str) -> str:
    """The text with a question mark in the place of each half."""
    return text.encode("utf-8", "replace").decode()


def replace_all_surrogates(document: object) -> object:
    """A document of JSON's own types, with every text in it, keys too, made encodable."""
    if isinstance(document, str):
        return replace_surrogates(document)
    if isinstance(document, dict):
        return {replace_all_surrogates(key): replace_all_surrogates(value) for key, value in document.items()}
    if isinstance(document, list | tuple):
        return [replace_all_surrogates(one) for one in document]
    return document
