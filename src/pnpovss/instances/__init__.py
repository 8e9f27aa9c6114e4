"""One thing from another of its name: regions into pieces, pieces cut between the peaks of the heat map."""
