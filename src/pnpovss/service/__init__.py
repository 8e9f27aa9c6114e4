"""The method as a web service: an API for programs, and a page to see with."""
