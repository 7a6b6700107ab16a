"""What is made of records: one file per kind of result."""

__all__: list[str] = []
