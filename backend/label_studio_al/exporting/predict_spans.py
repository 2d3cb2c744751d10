"""Marks spans in texts with the model beside this file.

pip install -r requirements.txt
python predict.py "a text" "another text"
python predict.py < texts.txt        # one text a line
"""

import json
import sys
from pathlib import Path

from span_model import SpanModel  # type: ignore[import-not-found]


def main() -> None:
    """Print the spans of each text, [] where there is none: start, end, label and probability."""
    model = SpanModel.load(Path(__file__).parent)
    texts = sys.argv[1:] or [line.rstrip("\n") for line in sys.stdin]
    for text in texts:
        found = [[start, end, label, round(share, 3)] for start, end, label, share in model.mark(text)]
        print(json.dumps(found, ensure_ascii=False), text, sep="\t")


if __name__ == "__main__":
    main()
