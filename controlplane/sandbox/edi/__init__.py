"""A third-party logistics provider who speaks X12 over folders."""
