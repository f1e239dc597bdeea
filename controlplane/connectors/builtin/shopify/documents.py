"""The GraphQL documents, checked by a contract test against the vendor's schema of 2026-04."""

from __future__ import annotations

from functools import cache

PING = "query Ping { shop { name } }"

LEVEL = """
query Level($item: ID!, $location: ID!) {
  inventoryItem(id: $item) {
    id
    sku
    inventoryLevel(locationId: $location) { quantities(names: ["available", "on_hand"]) { name quantity updatedAt } }
  }
}"""

LEVELS = """
query Levels($first: Int!, $after: String, $location: ID!) {
  inventoryItems(first: $first, after: $after) {
    nodes {
      id
      sku
      inventoryLevel(locationId: $location) { quantities(names: ["available", "on_hand"]) { name quantity updatedAt } }
    }
    pageInfo { hasNextPage endCursor }
  }
}"""

ITEMS_BY_SKU = """
query ItemsBySku($first: Int!, $after: String, $query: String!) {
  inventoryItems(first: $first, after: $after, query: $query) {
    nodes { id sku }
    pageInfo { hasNextPage endCursor }
  }
}"""

LEVELS_OF = """
query LevelsOf($ids: [ID!]!, $location: ID!) {
  nodes(ids: $ids) {
    ... on InventoryItem {
      id
      sku
      inventoryLevel(locationId: $location) { quantities(names: ["available", "on_hand"]) { name quantity updatedAt } }
    }
  }
}"""

EVERY_LEVEL = """
query EveryLevel {
  inventoryItems {
    edges {
      node {
        id
        sku
        inventoryLevels {
          edges {
            node { id location { id } quantities(names: ["available", "on_hand"]) { name quantity updatedAt } }
          }
        }
      }
    }
  }
}"""
"""Run in bulk: the vendor turns the pages."""

EVERY_PRODUCT = """
query EveryProduct {
  products {
    edges {
      node {
        id
        status
        variants {
          edges {
            node { id sku price }
          }
        }
      }
    }
  }
}"""
"""Likewise."""

SET_AVAILABLE = """
mutation SetAvailable($input: InventorySetQuantitiesInput!, $key: String!) {
  inventorySetQuantities(input: $input) @idempotent(key: $key) {
    inventoryAdjustmentGroup { id createdAt changes { name delta } }
    userErrors { field message code }
  }
}"""


@cache
def set_available(count: int) -> str:
    """Return a document that sets so many levels, each as a mutation of its own with its own key (`input1`, `key1`, …)."""
    given = ", ".join(f"$input{n}: InventorySetQuantitiesInput!, $key{n}: String!" for n in range(1, count + 1))
    each = "".join(
        f"""
  set{n}: inventorySetQuantities(input: $input{n}) @idempotent(key: $key{n}) {{
    inventoryAdjustmentGroup {{ id createdAt }}
    userErrors {{ field message code }}
  }}"""
        for n in range(1, count + 1)
    )
    return f"mutation SetLevels({given}) {{{each}\n}}"


_ORDER_FIELDS = """
      id
      name
      createdAt
      updatedAt
      cancelledAt
      currencyCode
      sourceName
      retailLocation { id }
      shippingLine { id }
      taxesIncluded
      totalTaxSet { shopMoney { amount } }
      shippingAddress { countryCodeV2 provinceCode zip }
      lineItems(first: 50) {
        nodes {
          id
          sku
          quantity
          originalUnitPriceSet { shopMoney { amount currencyCode } }
          taxLines { title rate channelLiable priceSet { shopMoney { amount } } }
          discountAllocations { allocatedAmountSet { shopMoney { amount } } }
        }
        pageInfo { hasNextPage endCursor }
      }"""

ORDERS = f"""
query Orders($first: Int!, $after: String, $query: String) {{
  orders(first: $first, after: $after, query: $query, sortKey: UPDATED_AT) {{
    nodes {{{_ORDER_FIELDS}
    }}
    pageInfo {{ hasNextPage endCursor }}
  }}
}}"""

ORDERS_SHOWN = """
query OrdersShown($first: Int!, $after: String, $query: String) {
  orders(first: $first, after: $after, query: $query, sortKey: CREATED_AT) {
    nodes { id name createdAt cancelledAt displayFulfillmentStatus fulfillments(first: 250) { status totalQuantity } }
    pageInfo { hasNextPage endCursor }
  }
}"""
"""By when they came to be: an order that changes meanwhile does not move to another page."""

VARIANTS_SHOWN = """
query VariantsShown($first: Int!, $after: String, $query: String) {
  productVariants(first: $first, after: $after, query: $query) {
    nodes { id sku price product { status } }
    pageInfo { hasNextPage endCursor }
  }
}"""

ORDER_LINES = """
query OrderLines($id: ID!, $after: String) {
  order(id: $id) {
    lineItems(first: 50, after: $after) {
      nodes {
        id
        sku
        quantity
        originalUnitPriceSet { shopMoney { amount currencyCode } }
        taxLines { title rate channelLiable priceSet { shopMoney { amount } } }
        discountAllocations { allocatedAmountSet { shopMoney { amount } } }
      }
      pageInfo { hasNextPage endCursor }
    }
  }
}"""

_REFUND_FIELDS = """
        id
        processedAt
        order { id name }
        refundLineItems(first: 100) {
          nodes { quantity restockType location { id } lineItem { id sku } }
          pageInfo { hasNextPage endCursor }
        }
        transactions(first: 50) {
          nodes {
            id
            kind
            status
            gateway
            test
            processedAt
            amountSet { shopMoney { amount currencyCode } }
            parentTransaction { id }
          }
          pageInfo { hasNextPage endCursor }
        }"""

REFUNDED = """
query Refunded($first: Int!, $after: String, $query: String) {
  orders(first: $first, after: $after, query: $query, sortKey: UPDATED_AT) {
    nodes { id updatedAt refunds(first: 250) { id } }
    pageInfo { hasNextPage endCursor }
  }
}"""

REFUNDS_OF = f"""
query RefundsOf($ids: [ID!]!) {{
  nodes(ids: $ids) {{
    ... on Refund {{{_REFUND_FIELDS}
    }}
  }}
}}"""

MOVEMENTS = """
query Movements($first: Int!, $after: String, $query: String) {
  shopifyPaymentsAccount {
    balanceTransactions(first: $first, after: $after, query: $query, sortKey: PROCESSED_AT) {
      nodes {
        id
        type
        test
        transactionDate
        amount { amount currencyCode }
        fee { amount currencyCode }
        net { amount currencyCode }
        associatedOrder { id name }
        associatedPayout { id }
        sourceOrderTransactionId
      }
      pageInfo { hasNextPage endCursor }
    }
  }
}"""

PAYOUTS = """
query Payouts($first: Int!, $after: String, $query: String) {
  shopifyPaymentsAccount {
    payouts(first: $first, after: $after, query: $query, sortKey: ISSUED_AT) {
      nodes { id issuedAt status transactionType net { amount currencyCode } }
      pageInfo { hasNextPage endCursor }
    }
  }
}"""

ORDER_TO_FULFIL = """
query OrderToFulfil($query: String!) {
  orders(first: 2, query: $query) {
    nodes {
      id
      name
      fulfillments(first: 20) {
        id
        status
        createdAt
        trackingInfo(first: 2) { number company }
        fulfillmentLineItems(first: 100) { nodes { quantity lineItem { id sku } } }
      }
      fulfillmentOrders(first: 10) {
        nodes { id status lineItems(first: 100) { nodes { id sku remainingQuantity } } }
      }
    }
  }
}"""

FULFIL = """
mutation Fulfil($fulfillment: FulfillmentInput!) {
  fulfillmentCreate(fulfillment: $fulfillment) {
    fulfillment { id status createdAt }
    userErrors { field message }
  }
}"""

SHOP_SETTINGS = "query ShopSettings { shop { currencyCode ianaTimezone } publicApiVersions { handle supported } }"

LOCATION_STANDING = "query LocationStanding($id: ID!) { location(id: $id) { id isActive } }"

SUBSCRIPTIONS = """
query Subscriptions($first: Int!, $after: String) {
  webhookSubscriptions(first: $first, after: $after) {
    nodes { topic uri }
    pageInfo { hasNextPage endCursor }
  }
}"""

SELLING = "query Selling { shop { currencyCode taxesIncluded } }"

_VARIANT_FIELDS = """
      id
      sku
      price
      product { id title status handle hasOnlyDefaultVariant }"""

VARIANTS_BY_SKU = f"""
query VariantsBySku($first: Int!, $after: String, $query: String!) {{
  productVariants(first: $first, after: $after, query: $query) {{
    nodes {{{_VARIANT_FIELDS}
    }}
    pageInfo {{ hasNextPage endCursor }}
  }}
}}"""

PRODUCTS_BY_HANDLE = f"""
query ProductsByHandle($first: Int!, $after: String, $query: String!) {{
  products(first: $first, after: $after, query: $query) {{
    nodes {{
      id
      handle
      variants(first: 2) {{ nodes {{{_VARIANT_FIELDS}
      }} }}
    }}
    pageInfo {{ hasNextPage endCursor }}
  }}
}}"""

SET_PRODUCT = f"""
mutation SetProduct($input: ProductSetInput!, $identifier: ProductSetIdentifiers) {{
  productSet(input: $input, identifier: $identifier, synchronous: true) {{
    product {{
      id
      variants(first: 2) {{ nodes {{{_VARIANT_FIELDS}
      }} }}
    }}
    userErrors {{ field message code }}
  }}
}}"""

STAGE_UPLOAD = """
mutation StageUpload($input: [StagedUploadInput!]!) {
  stagedUploadsCreate(input: $input) {
    stagedTargets { url parameters { name value } }
    userErrors { field message }
  }
}"""

RUN_BULK = """
mutation RunBulk($mutation: String!, $path: String!) {
  bulkOperationRunMutation(mutation: $mutation, stagedUploadPath: $path) {
    bulkOperation { id status }
    userErrors { field message code }
  }
}"""

RUN_BULK_QUERY = """
mutation RunBulkQuery($query: String!) {
  bulkOperationRunQuery(query: $query) {
    bulkOperation { id status }
    userErrors { field message code }
  }
}"""

BULKS = """
query Bulks($first: Int!) {
  bulkOperations(first: $first) {
    nodes { id status type query createdAt }
  }
}"""
"""The newest come first."""

CANCEL_BULK = """
mutation CancelBulk($id: ID!) {
  bulkOperationCancel(id: $id) {
    bulkOperation { id status }
    userErrors { field message }
  }
}"""

BULK = "query Bulk($id: ID!) { bulkOperation(id: $id) { id status errorCode objectCount url partialDataUrl } }"

ALL = (
    ORDERS_SHOWN,
    VARIANTS_SHOWN,
    SELLING,
    VARIANTS_BY_SKU,
    PRODUCTS_BY_HANDLE,
    SET_PRODUCT,
    STAGE_UPLOAD,
    RUN_BULK,
    RUN_BULK_QUERY,
    CANCEL_BULK,
    BULK,
    ITEMS_BY_SKU,
    LEVELS_OF,
    EVERY_LEVEL,
    EVERY_PRODUCT,
    BULKS,
    PING,
    SHOP_SETTINGS,
    LOCATION_STANDING,
    SUBSCRIPTIONS,
    LEVEL,
    LEVELS,
    SET_AVAILABLE,
    set_available(2),
    ORDERS,
    ORDER_LINES,
    REFUNDED,
    REFUNDS_OF,
    MOVEMENTS,
    PAYOUTS,
    ORDER_TO_FULFIL,
    FULFIL,
)
