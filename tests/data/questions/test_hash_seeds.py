"""Prompts do not depend on the order in which Python's sets and hashes happen to be."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from data.questions.words import WordIndex, nearest_word
from tests.conftest import ROOT

PROMPTS = """
import hashlib, sys, train
from tests.conftest import typed
settings = ["+experiment=quickstart", "data.limit=250", f"outputs={sys.argv[1]}", "stage=prepare"]
data = train.prepare(typed(*settings))
found = hashlib.sha256()
for split in ("train", "validation", "test", "wordings"):
    for context in data.grounding.contexts(data.questions(split), for_training=split == "train"):
        found.update(context.encode())
print(found.hexdigest())
"""


def test_of_words_that_are_as_near_one_is_always_meant() -> None:
    known = ["krut", "kurti", "kruts", "krati"]
    assert nearest_word("kruti", known) == nearest_word("kruti", known[::-1]) == "krati"
    texts = ["red silk dress", "dress silk", "silk red red"]
    assert WordIndex(texts).shared("silk red").tolist() == WordIndex(texts).shared("red silk").tolist()


@pytest.mark.slow
def test_prompts_are_the_same_with_every_seed_of_hashes(tmp_path: Path) -> None:
    digests = set()
    for seed in ("1", "2", "3"):
        command = [sys.executable, "-c", PROMPTS, str(tmp_path)]
        environment = {**os.environ, "PYTHONHASHSEED": seed, "HF_HUB_OFFLINE": "1"}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
        digests.add(done.stdout.splitlines()[-1])
    assert len(digests) == 1
