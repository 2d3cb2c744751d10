"""Predicts the labels of texts with the model beside this file.

pip install -r requirements.txt
python predict.py "a text" "another text"
python predict.py < texts.txt        # one text a line
"""

import sys
from pathlib import Path

import joblib


def main() -> None:
    """Print the most probable label of each text, and its probability."""
    # joblib runs code when it loads: load only files that you, or people whom you trust, have exported.
    model = joblib.load(Path(__file__).with_name("model.joblib"))
    texts = sys.argv[1:] or [line.rstrip("\n") for line in sys.stdin]
    if not texts:
        return
    for text, row in zip(texts, model.predict_proba(texts), strict=True):
        best = row.argmax()
        print(f"{model.classes_[best]}\t{row[best]:.3f}\t{text}")


if __name__ == "__main__":
    main()
