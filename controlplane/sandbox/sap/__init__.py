"""SAP S/4HANA as its published services describe it: OData V2 with CSRF, ETags and `$batch`; the journal entry over SOAP."""
