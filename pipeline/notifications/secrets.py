"""Secrets: read where a document says, whenever one is used, so that a file that was renewed is seen.

What one holds stands in no log, record or error: those name the variable or the file.
"""

import os
from pathlib import Path

from pipeline.errors import PeekproofError
from schemas.notification import SecretAt


class SecretError(PeekproofError):
    """A secret is not there, or is none of the kind that is wanted. The text names where it is read, not what it is."""


def place_of(secret: SecretAt) -> str:
    """Where it is read, in words."""
    return f"file '{secret.file}'" if secret.file is not None else f"variable {secret.env}"


def reveal(secret: SecretAt) -> str:
    """What it holds, without the space around it. Raises SecretError."""
    if secret.file is not None:
        try:
            found = Path(secret.file).read_text(encoding="utf-8")
        except OSError as error:
            raise SecretError(
                f"{place_of(secret)} cannot be read ({error.strerror}); put the secret there, where whoever sends may "
                "read it"
            ) from None
        except UnicodeDecodeError:
            raise SecretError(f"{place_of(secret)} holds no text; put the secret there as UTF-8") from None
        except ValueError:
            raise SecretError("the name of its file holds a null byte, as none does; write the path of one") from None
    else:
        found = os.environ.get(secret.env or "", "")
    if not found.strip():
        raise SecretError(f"{place_of(secret)} is empty or not set; give whoever sends the secret there")
    return found.strip()
