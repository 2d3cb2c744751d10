"""Predicts the labels of texts with the model beside this file: any number of labels a text, or none.

pip install -r requirements.txt
python predict.py "a text" "another text"
python predict.py < texts.txt        # one text a line
"""

import json
import sys
from pathlib import Path

import joblib


def main() -> None:
    """Print the labels of each text with their probabilities, {} where no label applies."""
    # joblib runs code when it loads: load only files that you, or people whom you trust, have exported.
    model = joblib.load(Path(__file__).with_name("model.joblib"))
    texts = sys.argv[1:] or [line.rstrip("\n") for line in sys.stdin]
    if not texts:
        return
    # A row for each text and a column for each label: its name, or "" where the text does not have it.
    names = model.predict(texts)
    # For each label an array: the probabilities that a text does not have it, and that it has.
    probabilities = model.predict_proba(texts)
    for place, text in enumerate(texts):
        found = {
            str(name): round(float(of_label[place, 1]), 3)
            for name, of_label in zip(names[place], probabilities, strict=True)
            if name
        }
        print(json.dumps(found, ensure_ascii=False), text, sep="\t")


if __name__ == "__main__":
    main()
