"""datacompy: the first file against each other one, then the keys of either pair together.

Usage: datacompy_pairs.py TOLERANCE ERP WMS SHOP.
"""

import json
import sys

import datacompy
import pandas as pd

KEYS = ["sku", "location"]


def read(path: str) -> pd.DataFrame:
    if path.endswith(".parquet"):
        return pd.read_parquet(path)
    return pd.read_csv(path, dtype={"sku": str, "location": str})


def differing(left: pd.DataFrame, right: pd.DataFrame, tolerance: int) -> pd.DataFrame:
    pair = datacompy.PandasCompare(left, right, join_columns=KEYS, abs_tol=tolerance, rel_tol=0)
    return pd.concat([frame[KEYS] for frame in (pair.df1_unq_rows, pair.df2_unq_rows, pair.all_mismatch())])


def main() -> None:
    tolerance, first, *others = sys.argv[1:]
    left = read(first)
    keys = pd.concat([differing(left, read(path), int(tolerance)) for path in others]).drop_duplicates()
    print(json.dumps({"differ": len(keys), "listed": min(len(keys), 100)}))


if __name__ == "__main__":
    main()
