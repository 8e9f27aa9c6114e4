"""`python -m pnpovss`, the program where its script is not on the path."""

from pnpovss.cli.main import run

if __name__ == "__main__":
    run()
