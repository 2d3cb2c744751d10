"""Predicts the path of texts in a tree with the model beside this file.

pip install -r requirements.txt
python predict.py "a text" "another text"
python predict.py < texts.txt        # one text a line
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import joblib


def walk(names: Sequence[str], probabilities: Sequence[float]) -> int:
    """Down the tree, at each node into the most probable branch: the place of the path where that ends."""
    paths = [name.split(" / ") for name in names]
    left, depth = list(range(len(paths))), 0
    while len(left) > 1:
        # A node that is a path itself is a branch of its own.
        branch_of = {place: paths[place][depth] if depth < len(paths[place]) else None for place in left}
        sums = dict.fromkeys(branch_of.values(), 0.0)
        for place, branch in branch_of.items():
            sums[branch] += probabilities[place]
        best = max(sums, key=lambda branch: sums[branch])
        left, depth = [place for place, branch in branch_of.items() if branch == best], depth + 1
    return left[0]


def main() -> None:
    """Print the path of each text, and its probability."""
    # joblib runs code when it loads: load only files that you, or people whom you trust, have exported.
    model = joblib.load(Path(__file__).with_name("model.joblib"))
    texts = sys.argv[1:] or [line.rstrip("\n") for line in sys.stdin]
    if not texts:
        return
    for text, row in zip(texts, model.predict_proba(texts), strict=True):
        found = walk(model.classes_, row)
        print(f"{model.classes_[found]}\t{row[found]:.3f}\t{text}")


if __name__ == "__main__":
    main()
