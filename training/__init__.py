"""How the bundled model `mini` is made: `python -m training --help`."""
