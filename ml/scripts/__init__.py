"""Commands that make scenarios, check an installation and write documentation."""
