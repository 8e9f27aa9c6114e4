"""What is thrown at each door."""
