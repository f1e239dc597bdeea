"""SAP S/4HANA over its published OData V2 services and the journal entry's SOAP. Verified against their descriptions and a simulator."""
