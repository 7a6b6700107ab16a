"""What can be wrong with a .zip."""

from __future__ import annotations

import lzma
import zipfile
import zlib
from typing import Final

__all__ = ["ZIP_FAULTS"]

#: What reading a .zip raises besides OSError.
ZIP_FAULTS: Final = (
    EOFError,
    RuntimeError,  # zipfile's answer to a password, and to a version or a compression that it does not know
    ValueError,
    lzma.LZMAError,
    zipfile.BadZipFile,
    zlib.error,
)
