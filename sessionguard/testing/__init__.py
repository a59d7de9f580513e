"""For the authors of stores and plugins: what ours must pass, yours can pass too. Needs pytest; never imported by us.

from sessionguard.testing import SessionStoreContract

class TestMyStore(SessionStoreContract):
    @pytest.fixture
    def store(self, tmp_path):
        return MyStore(tmp_path)
"""

from sessionguard.testing.contract import SessionStoreContract
from sessionguard.testing.probe import AppProbe, Exchange

__all__ = ("AppProbe", "Exchange", "SessionStoreContract")
