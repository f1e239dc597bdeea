"""Sample files that nobody here wrote, each read or refused with its place: the table of files and results.

`read: SETS`, with what a set that we take in breaks of its schema; `flawed: PLACE`, where an envelope is torn: the rest of the file is
read; `refused: PLACE`, where nothing of the file can be told apart.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from controlplane.connectors.builtin.edi_x12.reader import EdiError, Interchange, read
from controlplane.connectors.builtin.edi_x12.syntax import faults, schema

SHARED = Path(os.environ.get("TRUEUP_SHARED") or Path(__file__).parents[3].parent / "shared")
SPECS = SHARED / "specs" / "x12"
pytestmark = pytest.mark.skipif(
    not SPECS.is_dir(), reason=f"no sample files at {SPECS}: set TRUEUP_SHARED to the folder that holds specs/"
)


def torn(interchange: Interchange) -> list[EdiError]:
    """Every flaw of the envelopes, from the outside in."""
    groups = interchange.groups
    found = [*interchange.flaws, *(flaw for group in groups for flaw in group.flaws)]
    return [*found, *(flaw for group in groups for one in group.sets for flaw in one.flaws)]


def result_of(content: bytes) -> str:
    try:
        interchanges = read(content)
    except EdiError as error:
        return f"refused: {error.place}"
    flaws = [flaw for interchange in interchanges for flaw in torn(interchange)]
    if flaws:
        return f"flawed: {flaws[0].place}"
    groups = [group for interchange in interchanges for group in interchange.groups]
    sets = [(one, group.gs.at(1)) for group in groups for one in group.sets]
    told = [one.type for one, _ in sets] or ["TA1" for interchange in interchanges for _ in interchange.tas]
    wrong = [fault for one, group in sets if one.type in schema().sets for fault in faults(one, group)]
    return f"read: {' '.join(told)}" + (f", {len(wrong)} faults, first {wrong[0].place}" if wrong else "")


TABLE = {
    "ediengine/850.Composite.SLN.OK.edi": "read: 850",
    "ediengine/850.OK.edi": "read: 850",
    "ediengine/850.SyntaxNotes.ERR.edi": "read: 850",
    "ediengine/856.Crossdock.OK.edi": "read: 856",
    "ediengine/940.2.OK.edi": "read: 940",
    "ediengine/940.OK.edi": "read: 940",
    "ediengine/940.W05.Only.edi": "read: 940",
    "ediengine/940_Failed_SE01.edi": "flawed: segment 11 (SE), element SE01, character 307",
    "ediengine/AckTest.edi": "read: 940 940 940, 1 faults, first segment 18 (N9), element N901, character 420",
    "ediengine/ControlNumbersMismatch.edi": "flawed: segment 9 (IEA), element IEA02, character 285",
    "ediengine/MultipleInterchangesAndGroups.edi": "read: 940 940 940 940 940 940",
    "ediengine/NonEdi.edi": "refused: segment 1 (none), character 0",
    "ediengine/WrongGroupsAndTranCount.edi": "flawed: segment 9 (IEA), element IEA01, character 285",
    "edifabric/997.txt": "read: 997",
    "edifabric/ApplicationAdvice.txt": "flawed: segment 21 (GE), element GE01, character 546",
    "edifabric/CorruptIsa.txt": "refused: segment 1 (none), character 0",
    "edifabric/CorruptSt.txt": "flawed: segment 3 (T), character 165",
    "edifabric/Custom835.txt": "read: 835",
    "edifabric/DuplicateGroup.txt": "read: 850 850",
    "edifabric/DuplicateInterchange.txt": "read: 850 850",
    "edifabric/DuplicateMessage.txt": "read: 850 850",
    "edifabric/FreightInvoice.txt": "read: 210",
    "edifabric/Invoice.txt": "read: 810",
    "edifabric/MixedTransactions.txt": "read: 850 810",
    "edifabric/MixedTransactionsNoEnvelopes.txt": "refused: segment 1 (none), character 0",
    "edifabric/PriceCatalog.txt": "flawed: segment 20 (GE), element GE01, character 618",
    "edifabric/PurchaseOrder.csv": "refused: segment 1 (none), character 0",
    "edifabric/PurchaseOrder.txt": "read: 850",
    "edifabric/PurchaseOrderCSV.txt": "read: 850",
    "edifabric/PurchaseOrderCustom1.txt": "read: 850",
    "edifabric/PurchaseOrderCustom2.txt": "read: 850",
    "edifabric/PurchaseOrderInvalid.txt": "flawed: segment 16 (SE), element SE01, character 466",
    "edifabric/PurchaseOrderModified.txt": "read: 850",
    "edifabric/PurchaseOrderMultiLine.txt": "flawed: segment 18 (SE), element SE01, character 510",
    "edifabric/PurchaseOrders.txt": "read: 850 850",
    "edifabric/PurchaseOrdersAcknowledgement.txt": "flawed: segment 13 (GE), element GE01, character 497",
    "edifabric/RailCarrierShipment.txt": "flawed: segment 30 (GE), element GE01, character 772",
    "edifabric/ReceivingAdvice.txt": "flawed: segment 12 (GE), element GE01, character 335",
    "edifabric/ShipBillNotice.txt": "flawed: segment 25 (GE), element GE01, character 572",
    "edifabric/ShipNotice.txt": "flawed: segment 47 (GE), element GE01, character 1002",
    "edifabric/ShipmentStatus.txt": "flawed: segment 15 (GE), element GE01, character 388",
    "edifabric/WarehouseShippingAdvice.txt": "flawed: segment 25 (GE), element GE01, character 765",
    "staedi/empty997.edi": "read: 997, 2 faults, first segment 4 (AK1), character 189",
    "staedi/extraDelimiter997.edi": "read: 997, 2 faults, first segment 6 (AK3), element AK302, character 216",
    "staedi/invalid997.edi": "read: 997, 2 faults, first segment 4 (AK1), element AK101, character 187",
    "staedi/invalid997_min.edi": "flawed: segment 7 (GE), element GE02, character 240",
    "staedi/invalid999.edi": "flawed: segment 20 (SE), element SE01, character 486",
    "staedi/invoice810_po850_dual.edi": "read: 810 810 850",
    "staedi/multi-tx-transaction-type.edi": "read: 855 855",
    "staedi/nonnumeric_BIN01.edi": "refused: segment 4 (BIN), element BIN01, character 187",
    "staedi/optionalInterchangeServices.edi": "read: 997",
    "staedi/simple810.edi": "read: 810 810",
    "staedi/simple997-multiple-interchanges.edi": "read: 997 997 997",
    "staedi/simple997.edi": "read: 997",
    "staedi/simple999.edi": "read: 999",
    "staedi/simple_with_binary_segment.edi": "read: 000",
    "staedi/ts210_80char.edi": "read: 210",
    "staedi/ts214_ellipses_segterm.edi": "read: 214",
    "staedi/x12_interchange_ack.txt": "read: TA1",
    "x12parser/Acknowledgments/TechnicalAcknowledgment_Sample1.txt": "read: TA1 TA1",
    "x12parser/Acknowledgments/TechnicalAcknowledgment_SampleFromJeffN825.txt": "read: TA1",
    "x12parser/Acknowledgments/_999/DHS_Wisconsin_Sample.txt": "read: 999, 1 faults, first segment 7 (AK2), element AK202, character 268",
    "x12parser/FIN/_824/FromCnSpec.txt": "read: 824",
    "x12parser/FIN/_824/FromTmhpSpec.txt": "read: 824",
    "x12parser/MAN/_852/AftermarketExample.txt": "read: 852",
    "x12parser/MAN/_852/hdexchange.txt": "flawed: segment 23 (IEA), element IEA02, character 736",
    "x12parser/MAN/_867/Example1.txt": "read: 867",
    "x12parser/MAN/_867/Example2.txt": "read: 867",
    "x12parser/MAN/_867/Example3.txt": "read: 867",
    "x12parser/ORD/_180/FromEasistandards.txt": "read: 180",
    "x12parser/ORD/_180/FromLowes.txt": "read: 180",
    "x12parser/ORD/_810/2011110815164104.txt": "read: 810",
    "x12parser/ORD/_810/Example1_CaliforniaISO.txt": "read: 810",
    "x12parser/ORD/_810/Example2_ManualBilling.txt": "read: 810",
    "x12parser/ORD/_810/Example3_MultiInvoice.txt": "read: 810 810",
    "x12parser/ORD/_810/Example4_Adobe.txt": "read: 810",
    "x12parser/ORD/_810/Example5_Walmart.txt": "read: 810",
    "x12parser/ORD/_820/Example1_MortgageBankers.txt": "read: 820",
    "x12parser/ORD/_820/Example2_ScanaEnergy.txt": "read: 820",
    "x12parser/ORD/_820/Example3_HomeDepot.txt": "flawed: segment 27 (GE), element GE02, character 1216",
    "x12parser/ORD/_820/Example4_Safeway.txt": "read: 820",
    "x12parser/ORD/_820/Example5_Wikipedia.txt": "read: 820",
    "x12parser/ORD/_820/Example6.txt": "flawed: segment 17 (SE), element SE02, character 644",
    "x12parser/ORD/_820/Example7_FromScott.txt": "read: 820",
    "x12parser/ORD/_846/Example1.txt": "read: 846",
    "x12parser/ORD/_846/Example2.txt": "read: 846",
    "x12parser/ORD/_850/Example1_PGWGlass.txt": "read: 850",
    "x12parser/ORD/_850/Example2_Adobe_TLP.txt": "read: 850",
    "x12parser/ORD/_850/Example3_Adobe_CLP.txt": "refused: segment 1 (ISA), element ISA07, character 50",
    "x12parser/ORD/_850/Example4_Adobe_ShrinkWrapped.txt": "refused: segment 1 (ISA), element ISA07, character 50",
    "x12parser/ORD/_850/From_aojuk.txt": "read: 850",
    "x12parser/ORD/_855/855SSimmons.txt": "read: 855 855",
    "x12parser/ORD/_855/Example1_Adobe.txt": "read: 855",
    "x12parser/ORD/_856/Example1.txt": "read: 856",
    "x12parser/ORD/_856/Example2.txt": "read: 856, 2 faults, first segment 4 (BSN), element BSN02, character 185",
    "x12parser/ORD/_856/Example3.txt": "read: 856",
    "x12parser/ORD/_856/Example4.txt": "read: 856",
    "x12parser/ORD/_856/FromGregarican.txt": "read: 856",
    "x12parser/ORD/_856/edi1Source.txt": "read: 856",
    "x12parser/ORD/_860/Example1.txt": "refused: segment 1 (ISA), element ISA07, character 50",
    "x12parser/ORD/_865/FromAdvanceAutoParts.txt": "read: 865",
    "x12parser/ORD/_865/FromMclaneCo.txt": "read: 865",
    "x12parser/ORD/_865/FromTyco.txt": "flawed: segment 20 (IEA), element IEA02, character 834",
    "x12parser/ORD/_875/AmasoftExample1.txt": "read: 875",
    "x12parser/ORD/_880/SimplotExample1.txt": "read: 880",
    "x12parser/TAM/_210/CN_FreightInvoiceSample1.txt": "read: 210",
    "x12parser/TAM/_210/CN_FreightInvoiceSample2.txt": "read: 210",
    "x12parser/TAM/_210/DBSchenker_SampleMotorFreightDetailsAndInvoice.txt": "flawed: segment 25 (GE), element GE02, character 828",
    "x12parser/WAR/_940/simplot.txt": "flawed: segment 31 (IEA), element IEA02, character 1034",
    "x12parser/WAR/_945/inter-americanproducts.txt": "flawed: segment 20 (GE), element GE02, character 722",
}  # fmt: skip


def test_every_sample_is_in_the_table() -> None:
    assert {str(path.relative_to(SPECS)) for path in SPECS.rglob("*") if path.is_file()} == set(TABLE)


@pytest.mark.parametrize("name", list(TABLE))
def test_every_sample_is_read_or_refused_with_its_place(name: str) -> None:
    assert result_of((SPECS / name).read_bytes()) == TABLE[name]
