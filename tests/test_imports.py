"""The package's skin and skeleton: public names, light imports, and imports that point one way."""

import ast
import importlib
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import pnpovss

ROOT = Path(pnpovss.__file__).parent
SOURCES = sorted(ROOT.rglob("*.py"))
MODULES = [path for path in SOURCES if path != ROOT / "__init__.py"]

# A module imports from its own row and the rows above it, never from below. A package stands for all it holds;
# a row may be named more exactly than the package that holds it.
LAYERS = (
    ("_version", "errors", "memory", "printable", "plugins", "sentences"),
    ("config", "idle", "names"),
    ("images", "files", "results.rle", "prompts", "densecrf"),
    ("results", "saliency", "refine", "backbones.base", "presets"),
    ("backbones", "presence.base"),
    ("inputs", "matching", "hints", "instances"),
    ("segmenter", "presence"),
    ("heads", "steps"),
    ("datasets", "evaluation", "tuning"),
    ("batch", "checkup"),
    ("service",),
    ("cli", "__main__"),
)

# Who may import from this package inside a function: to answer quickly (the command line and what it calls), or because
# what is imported is heavy and not always needed.
LATE = {"cli", "batch", "checkup", "densecrf.densecrf", "presence.clip", "refine.photo_crf"}

# Who may import what is heavy, beside the standard library and the base dependencies.
ONLY_IN = {
    "transformers": ("backbones", "segmenter", "presence", "instances"),
    "skimage": ("instances",),
    "supervision": ("results",),
    "optuna": ("tuning",),
    "typer": ("cli",),
    "rich": ("cli",),
    "ray": ("batch",),
    "fastapi": ("service",),
    "starlette": ("service",),
    "uvicorn": ("service",),
    "prometheus_client": ("service",),
    "fsspec": ("files",),
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
            named = [f"{node.module}.{alias.name}" for alias in node.names]
            own = [name for name in named if name.startswith("pnpovss.")]
            modules = [name for name in own if is_module(name.removeprefix("pnpovss."))]
            found.extend((name, top) for name in (modules if modules == named else [str(node.module), *modules]))
        for child in ast.iter_child_nodes(node):
            visit(child, top and not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef))

    visit(ast.parse(path.read_text()), True)
    return found


def own_imports(path: Path) -> list[tuple[str, bool]]:
    """(module of this package, at the top level) of every import."""
    return [(module.removeprefix("pnpovss."), top) for module, top in imports(path) if module.startswith("pnpovss.")]


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_imports_point_one_way(path: Path):
    for module, _ in own_imports(path):
        assert layer(module) <= layer(dotted(path)), f"pnpovss.{dotted(path)} may not import {module}"


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_only_a_few_import_inside_functions(path: Path):
    late = [module for module, top in own_imports(path) if not top]
    parts = dotted(path).split(".")
    assert not late or {".".join(parts[:depth]) for depth in range(1, len(parts) + 1)} & LATE, late


def test_imports_make_no_circle():
    graph = {dotted(path): {module for module, _ in own_imports(path)} - {dotted(path)} for path in MODULES}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_a_file_is_read_in_one_sitting(path: Path):
    assert len(path.read_text().splitlines()) <= 400


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


def test_mini_loads_neither_transformers_nor_the_compiler_of_torch():
    program = "import sys, pnpovss; pnpovss.Segmenter.from_pretrained('mini'); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "torch" in done.stdout.split()
    assert not {"transformers", "torch._dynamo", "sympy"} & set(done.stdout.split())


COMMANDS = ("segment", "explain", "doctor", "models", "eval", "report", "ablate", "serve", "sweep", "tune")


@pytest.mark.parametrize("command", [(), *((word,) for word in COMMANDS)])
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
