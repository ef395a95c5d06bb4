"""Ctrl-C is heard whatever the main thread is doing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from molig.cli.interrupts import heard_interrupts

pytestmark = pytest.mark.skipif(not hasattr(signal, "sigwait"), reason="needs POSIX signals")

# RDKit 2026.09 swallows a third of the signals that come while it searches.
SEARCHING = """
import os, signal, threading, time
from molig.cli.interrupts import heard_interrupts

def search():
    sent = threading.Event()
    def send():
        time.sleep(0.003)
        os.kill(os.getpid(), signal.SIGINT)
        sent.set()
    threading.Thread(target=send).start()
    while True:
        matches = molecule.GetSubstructMatches(ring)
        if len(matches) != 2:
            print("matches are missing", flush=True)

with heard_interrupts():
    from rdkit import Chem
    molecule = Chem.MolFromSmiles("CC(=O)Oc1ccccc1C(=O)NCCN1CCN(CC1)c1ccc(F)cc1")
    ring = Chem.MolFromSmarts("c1ccccc1")
    for _ in range(40):
        try:
            search()
        except KeyboardInterrupt:
            print("heard", flush=True)
"""


def test_a_signal_during_a_substructure_search_is_heard_and_harmless():
    found = subprocess.run(
        [sys.executable, "-c", SEARCHING], capture_output=True, text=True, timeout=600, check=True
    )
    assert found.stdout.split() == ["heard"] * 40


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_either_signal_is_an_interrupt(number):
    def send_and_wait() -> None:
        os.kill(os.getpid(), number)
        threading.Event().wait(600)

    with pytest.raises(KeyboardInterrupt), heard_interrupts():
        send_and_wait()


def test_everything_is_as_before_afterwards():
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    mask, threads = signal.pthread_sigmask(signal.SIG_BLOCK, ()), threading.active_count()
    with heard_interrupts():
        assert signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert (signal.pthread_sigmask(signal.SIG_BLOCK, ()), threading.active_count()) == (mask, threads)


def test_an_ignored_signal_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with heard_interrupts():
            os.kill(os.getpid(), signal.SIGINT)
            assert not threading.Event().wait(0.05)
    finally:
        signal.signal(signal.SIGINT, before)


def test_another_thread_changes_nothing():
    masks = []

    def enter() -> None:
        with heard_interrupts():
            masks.append(signal.pthread_sigmask(signal.SIG_BLOCK, ()))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert signal.SIGINT not in masks[0]
