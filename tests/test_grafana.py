"""The dashboard for Grafana asks for what the code tells, and for nothing else."""

import ast
import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
KINDS = ("Counter", "Gauge")


def exported() -> set[str]:
    """The names under which Ray exports the metrics of the code: to those of counters it adds `_total`."""
    tree = ast.parse((ROOT / "ray_import" / "cluster" / "metrics.py").read_text())
    return {
        f"ray_{node.args[0].value}" + ("_total" if node.func.id == "Counter" else "")
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in KINDS
        if isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, str)
    }


def asked() -> set[str]:
    """The metrics in the queries of all panels."""
    panels = json.loads((ROOT / "monitoring" / "grafana.json").read_text())["panels"]
    queries = [target["expr"] for panel in panels for target in panel["targets"]]
    assert all(query.startswith("sum") for query in queries)  # over restarted drivers, whose series stay
    return {name for query in queries for name in re.findall(r"ray_\w+", query)}


def test_every_query_names_a_metric_and_every_metric_is_shown() -> None:
    assert asked() == exported()
    assert len(exported()) == 8
