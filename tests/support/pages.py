"""What stands in a page of hits."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any


def page_data(page: str | Path) -> dict[str, Any]:
    """The JSON that a page of hits is drawn from."""
    text = page.read_text(encoding="utf-8") if isinstance(page, Path) else page
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    return json.loads(data)
