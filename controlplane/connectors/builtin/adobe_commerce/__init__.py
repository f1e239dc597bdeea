"""Adobe Commerce (Magento 2), REST."""
