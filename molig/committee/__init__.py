"""Committees: members that read substructures beside the Weave network, and how their scores are combined."""

from molig.committee.combination import Combination
from molig.committee.environment_net import EnvironmentNet
from molig.committee.forest import Forest
from molig.committee.kernel import KernelMachine
from molig.committee.vocabulary import Vocabulary

__all__ = ["Combination", "EnvironmentNet", "Forest", "KernelMachine", "Vocabulary"]
