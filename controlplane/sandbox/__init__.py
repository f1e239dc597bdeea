"""The simulated retailer: ERP, warehouse, shop and tills on one port, with a truth journal and faults on demand."""
