"""What a run says: page, tables, figures."""
