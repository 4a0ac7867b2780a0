"""Cannot be imported."""

raise OSError("the licence server is away")
