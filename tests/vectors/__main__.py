"""`python -m tests.vectors FILE.json` runs a file of reference cases against the product."""

import json
import sys
from pathlib import Path

from tests.vectors.cases import failures


def main(path):
    """Print each failure and the totals; exit with 1 when there is a failure."""
    passed = failed = skipped = 0
    for case in json.loads(Path(path).read_text())["cases"]:
        try:
            found = failures(case)
        except Exception as error:  # a case that cannot be read is a failure of its own, not of the file
            found = [("inputs", "an answer", repr(error))]
        if found is None:
            skipped += 1
        elif found:
            failed += 1
            for field, expected, got in found:
                print(f"{case['id']}: {field}: expected {expected}, got {got}")
        else:
            passed += 1
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m tests.vectors FILE.json")
    sys.exit(main(sys.argv[1]))
