"""The words of callers: how each API's requests become chat requests, and how answers become its own again."""
