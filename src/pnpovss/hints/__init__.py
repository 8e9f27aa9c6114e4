"""What one result looks like, told without truth, and what to change."""
