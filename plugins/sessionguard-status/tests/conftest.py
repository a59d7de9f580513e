"""What every test starts from."""

from clean_environment import clean_environment  # noqa: F401 - a fixture
from isolation import only

only_status = only("status", "turns")
