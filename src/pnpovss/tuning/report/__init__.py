"""What a tuning found, as a page, pictures and tables."""
