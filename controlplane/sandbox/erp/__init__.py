"""The ERP: NetSuite-shaped SuiteTalk REST (records by external id) and SuiteQL."""
