"""For the authors of stores and plugins: what ours must pass, yours can pass too. Needs pytest; never imported by us.

from sessionguard.testing import SessionStoreContract

class TestMyStore(SessionStoreContract):
    @pytest.fixture
    def store(self, tmp_path):
        return MyStore(tmp_path)

`FailureContract` and `RaceContract` are subclassed likewise, and for stores that conversations can be moved to and away
from, `AdoptionContract` and `RetirementContract`; for those that have leases, `LeaseContract`.
`pytest --sessionguard-store=URL` runs all but `RetirementContract` on the store at a URL, without a line of code.
`FaultyWire` stands between a store and its server and loses what it is told to.
"""

from sessionguard.testing.adoption import AdoptionContract
from sessionguard.testing.contract import SessionStoreContract
from sessionguard.testing.failures import FailureContract
from sessionguard.testing.faulty_wire import FaultyWire
from sessionguard.testing.leases import LeaseContract
from sessionguard.testing.probe import AppProbe, Exchange
from sessionguard.testing.races import RaceContract
from sessionguard.testing.retirement import RetirementContract
from sessionguard.testing.wire_plan import WireFault

__all__ = (
    "AdoptionContract",
    "AppProbe",
    "Exchange",
    "FailureContract",
    "FaultyWire",
    "LeaseContract",
    "RaceContract",
    "RetirementContract",
    "SessionStoreContract",
    "WireFault",
)
