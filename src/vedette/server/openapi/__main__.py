"""`python -m vedette.server.openapi [FILE]` writes the OpenAPI document; `make docs` keeps docs/openapi.json by it."""

import json
import sys
from pathlib import Path
from typing import Any

from vedette.server.app import described


def text(document: dict[str, Any]) -> str:
    """As it is kept: what changes is seen line by line."""
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(text(described()), encoding="utf-8")
    else:
        sys.stdout.write(text(described()))
