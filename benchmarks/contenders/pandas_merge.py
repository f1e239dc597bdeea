"""pandas: two outer merges, then the spread per key. Usage: pandas_merge.py TOLERANCE ERP WMS SHOP."""

import json
import sys

import pandas as pd

KEYS = ["sku", "location"]


def read(path: str, name: str) -> pd.DataFrame:
    text = {"sku": str, "location": str}
    frame = pd.read_parquet(path) if path.endswith(".parquet") else pd.read_csv(path, dtype=text)
    return frame.rename(columns={"on_hand": name})


def main() -> None:
    tolerance, *paths = sys.argv[1:]
    names = [f"v{i}" for i in range(len(paths))]
    merged = read(paths[0], names[0])
    for path, name in zip(paths[1:], names[1:], strict=True):
        merged = merged.merge(read(path, name), on=KEYS, how="outer")
    values = merged[names]
    differs = values.isna().any(axis=1) | (values.max(axis=1) - values.min(axis=1) > int(tolerance))
    worst = merged[differs].head(100).to_dict("records")
    print(json.dumps({"differ": int(differs.sum()), "listed": len(worst)}))


if __name__ == "__main__":
    main()
