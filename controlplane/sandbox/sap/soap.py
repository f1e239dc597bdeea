"""The journal entry's message: taken apart, put into the queue."""

from decimal import Decimal, InvalidOperation
from xml.etree import ElementTree

from controlplane.sandbox.sap.books import Erp, Row

SERVICE = "/sap/bc/srt/scs_ext/sap/journalentrybulkcreationreques"
SFIN = "{http://sap.com/xi/SAPSCORE/SFIN}"
HEADER = (
    "OriginalReferenceDocumentType", "BusinessTransactionType", "AccountingDocumentType", "CreatedByUser", "CompanyCode",
    "DocumentDate", "PostingDate",
)  # fmt: skip


class FaultError(ValueError):
    """The message is refused before it is queued."""


def accept(erp: Erp, content: bytes) -> None:
    """Queue every entry of a message. Raises FaultError."""
    try:
        root = ElementTree.fromstring(content)  # noqa: S314  # of the connector that is tried
        [bulk] = root.iter(f"{SFIN}JournalEntryBulkCreateRequest")
        entries = [_entry(one) for one in bulk.iter("JournalEntryCreateRequest")]
    except (ElementTree.ParseError, ValueError, InvalidOperation) as error:
        raise FaultError(f"XML does not fit the service: {error}") from error
    if not entries:
        raise FaultError("there is no JournalEntryCreateRequest in it")
    for message, told in entries:
        erp.enqueue(message, told)


def _entry(request: ElementTree.Element) -> tuple[str, Row]:
    message, entry = request.findtext("MessageHeader/ID"), request.find("JournalEntry")
    if not message or entry is None:
        raise FaultError("a request has no MessageHeader/ID or no JournalEntry")
    told: Row = {name: entry.findtext(name) for name in (*HEADER, "DocumentReferenceID", "DocumentHeaderText")}
    if missing := [name for name in HEADER if not told[name]]:
        raise FaultError(f"a JournalEntry has no {missing[0]}")
    told["items"] = [_item(one) for one in entry.iter("Item")]
    return message, told


def _item(item: ElementTree.Element) -> Row:
    money = item.find("AmountInTransactionCurrency")
    if money is None or not money.get("currencyCode") or not item.findtext("GLAccount"):
        raise FaultError("an Item has no GLAccount, or no amount with its currency")
    return {
        "GLAccount": item.findtext("GLAccount"), "AmountInTransactionCurrency": Decimal(money.text or "0"),
        "TransactionCurrency": money.get("currencyCode"), "DebitCreditCode": item.findtext("DebitCreditCode"),
        "DocumentItemText": item.findtext("DocumentItemText") or "",
    }  # fmt: skip
