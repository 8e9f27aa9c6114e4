"""The program with a model whose attention is set by hand, to be run as a process of its own: program.py segment ..."""

from fakes import colour_backbone, fake_spec
from pnpovss.backbones.base import register
from pnpovss.cli.main import run

if __name__ == "__main__":
    register(fake_spec(colour_backbone()))
    run()
