"""The package's skin and skeleton: public names, light imports, and imports that point one way."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import pnpovss

ROOT = Path(pnpovss.__file__).parent
SOURCES = sorted(ROOT.rglob("*.py"))

# A module imports from its own row and the rows above it, never from below. A package stands for all it holds;
# a row may be named more exactly than the package that holds it.
LAYERS = (
    ("_version", "errors", "printable", "plugins"),
    ("config", "names"),
    ("images", "files", "results.rle", "prompts", "densecrf"),
    ("results", "saliency", "refine", "backbones.base"),
    ("backbones", "presence.base"),
    ("inputs", "loading", "hints"),
    ("segmenter", "presence"),
    ("datasets", "evaluation", "tuning"),
    ("batch", "serving"),
    ("cli",),
)

# Who may import what is heavy, beside the standard library and the base dependencies.
ONLY_IN = {
    "transformers": ("backbones", "segmenter", "presence"),
    "supervision": ("results",),
    "typer": ("cli",),
    "rich": ("cli",),
    "ray": ("batch",),
    "fastapi": ("serving",),
}


def dotted(path: Path) -> str:
    """cli.main for src/pnpovss/cli/main.py."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def is_module(name: str) -> bool:
    place = ROOT / name.replace(".", "/")
    return place.is_dir() or place.with_suffix(".py").exists()


def layer(module: str) -> int:
    for depth in range(module.count(".") + 1, 0, -1):
        prefix = ".".join(module.split(".")[:depth])
        for row, names in enumerate(LAYERS):
            if prefix in names:
                return row
    raise AssertionError(f"pnpovss.{module} has no layer; add it to LAYERS")


def imports(path: Path) -> list[tuple[str, bool]]:
    """(module, at the top level) of every import that runs; what only type checkers see is left out."""
    found: list[tuple[str, bool]] = []

    def visit(node: ast.AST, top: bool) -> None:
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return
        if isinstance(node, ast.Import):
            found.extend((alias.name, top) for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.append((str(node.module), top))
            if node.module == "pnpovss" or is_module(str(node.module).removeprefix("pnpovss.")):
                found.extend((f"{node.module}.{alias.name}", top) for alias in node.names)
        for child in ast.iter_child_nodes(node):
            visit(child, top and not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef))

    visit(ast.parse(path.read_text()), True)
    return found


@pytest.mark.parametrize("path", [path for path in SOURCES if dotted(path) != "__init__"], ids=dotted)
def test_imports_point_one_way(path: Path):
    own = layer(dotted(path))
    for module, top in imports(path):
        if module.startswith("pnpovss.") and top:
            target = module.removeprefix("pnpovss.")
            if (
                not (ROOT / f"{target.replace('.', '/')}.py").exists()
                and not (ROOT / target.replace(".", "/")).is_dir()
            ):
                continue  # a name in a package, not a module
            assert layer(target) <= own, f"pnpovss.{dotted(path)} may not import {module}"


@pytest.mark.parametrize("path", SOURCES, ids=dotted)
def test_heavy_packages_stay_in_their_place(path: Path):
    for module, _ in imports(path):
        package = module.split(".")[0]
        allowed = ONLY_IN.get(package)
        assert allowed is None or dotted(path).split(".")[0] in allowed, f"{path} may not import {package}"


def test_public_names_are_sorted_and_there():
    assert pnpovss.__all__ == sorted(pnpovss.__all__)
    for name in pnpovss.__all__:
        assert getattr(pnpovss, name) is not None
    assert set(pnpovss.__all__) <= set(dir(pnpovss))
    with pytest.raises(AttributeError, match="no attribute 'segmenter_'"):
        _ = pnpovss.segmenter_


HEAVY = {"numpy", "cv2", "torch", "transformers", "numba", "PIL", "matplotlib", "pycocotools", "huggingface_hub"}


def test_every_error_is_public():
    errors = importlib.import_module("pnpovss.errors")
    assert set(errors.__all__) <= set(pnpovss.__all__)


@pytest.mark.parametrize(
    ("module", "not_loaded"),
    [
        ("pnpovss", {"numpy", "torch", "pydantic", "rich"}),
        ("pnpovss.cli.main", HEAVY),
        ("pnpovss.images", {"torch", "cv2"}),
        ("pnpovss.results.segmentation", {"torch", "supervision", "pycocotools"}),
        ("pnpovss.presence", {"torch", "cv2", "transformers", "huggingface_hub"}),
    ],
)
def test_imports_are_light(module: str, not_loaded: set[str]):
    program = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not not_loaded & set(done.stdout.split())


def test_segmenting_a_photo_imports_no_evaluation():
    program = "import sys, pnpovss.batch.job, pnpovss.cli.segment_view; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "pnpovss.hints.looks_like" in done.stdout.split()
    assert not [module for module in done.stdout.split() if module.startswith("pnpovss.evaluation")]


@pytest.mark.parametrize("command", [(), ("segment",), ("models",), ("eval",), ("report",), ("ablate",), ("sweep",)])
def test_help_waits_for_nothing_heavy(command: tuple[str, ...]):
    program = f"""
import sys
from pnpovss.cli.main import run
sys.argv = ["pnpovss", *{command}, "--help"]
try:
    run()
except SystemExit as end:
    print(end.code, *sys.modules, file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    code, *loaded = done.stderr.split()
    assert code == "0"
    assert "Usage: pnpovss" in done.stdout
    assert not HEAVY & set(loaded)
