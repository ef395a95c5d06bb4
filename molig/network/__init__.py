"""WxNy Weave networks in plain torch."""

from molig.network.batch import GraphBatch, collate
from molig.network.config import Activation, NetworkConfig, Readout
from molig.network.net import WeaveNet

__all__ = ["Activation", "GraphBatch", "NetworkConfig", "Readout", "WeaveNet", "collate"]
