"""What an object key may look like: one rule for every kind of store, so that data can move between them.

A key is a relative path of printable characters, ``log/tile/0/000``. The limits are those of the narrowest places
where keys end up: a file name has at most 255 bytes, an S3 key at most 1024.
"""

from transparency.encoding import excerpt
from transparency.errors import StoreError

MAX_KEY_BYTES = 1024
MAX_COMPONENT_BYTES = 255


def check_key(key: str) -> None:
    """Raise :class:`StoreError` unless ``key`` can be an object's key.

    Components are separated by ``/``; none is empty, ``.`` or ``..``, so no key leads out of the store.
    """
    if not key.isprintable() or "\\" in key:
        raise StoreError(f"object key {excerpt(key)} has a character that keys cannot have")
    if len(key.encode()) > MAX_KEY_BYTES:
        raise StoreError(f"object key {excerpt(key)} is longer than {MAX_KEY_BYTES} bytes")
    for component in key.split("/"):
        if component in {"", ".", ".."} or len(component.encode()) > MAX_COMPONENT_BYTES:
            raise StoreError(f"object key {excerpt(key)} is not a relative path of plain names of 1 to 255 bytes")


def is_key(key: str) -> bool:
    """Tell whether ``key`` can be an object's key, for names that are found rather than asked for."""
    try:
        check_key(key)
    except StoreError:
        return False
    return True
