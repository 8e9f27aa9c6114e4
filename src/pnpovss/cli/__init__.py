"""The command line: parse, call `Segmenter`, render. One file a subcommand."""
