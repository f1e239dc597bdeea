"""Against systems that nobody here wrote, brought up once for all of these files (`conftest.py`)."""
