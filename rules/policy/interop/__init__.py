"""Policies in formats that other tools read. Law: what a format cannot carry is said, in the file itself and to whoever exports."""

from rules.policy.interop.backstage import catalog, owners
from rules.policy.interop.odcs import contracts
from rules.policy.interop.openslo import service_levels
from rules.policy.interop.shape import Exported, Policies, rendered

__all__ = ["FORMATS", "Exported", "Policies", "owners", "rendered"]

FORMATS = {"openslo": service_levels, "odcs": contracts, "backstage": catalog}
"""Name -> what makes the files of that format of the policies in force."""
