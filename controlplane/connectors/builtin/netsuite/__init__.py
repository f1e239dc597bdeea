"""NetSuite, SuiteTalk REST and SuiteQL. Verified against prose and the sandbox only."""
