"""Every code with which a document can be refused, in words: for documentation; a test keeps it complete. Pure."""

from typing import Final

CODES: Final[dict[str, str]] = {
    "document.missing": "no such file",
    "document.directory": "a directory was given for a file",
    "document.not-regular": "a FIFO, socket or device was given for a file",
    "document.unreadable": "the file may not be read by this user, or its links never end",
    "document.too-large": "more than the cap (1 MiB; of several documents together 16 MiB); nothing beyond it was read",
    "document.empty": "nothing but white space",
    "document.encoding": "a byte is not UTF-8",
    "document.syntax": "not JSON, or not YAML",
    "document.duplicate-key": "a key is given twice in one object",
    "document.number": "NaN, infinity, or a number without exact canonical bytes",
    "document.string": "a string with NUL or half a surrogate pair",
    "document.too-deep": "nested deeper than 64 levels",
    "document.root": "the document is not an object",
    "document.key": "a YAML key is not a string",
    "document.yaml-alias": "a YAML anchor, alias or merge key",
    "document.yaml-tag": "a YAML tag",
    "document.yaml-documents": "more than one YAML document where one is expected",
}
