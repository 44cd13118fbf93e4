"""Every flag that a head can have is said in words."""

import re

import pytest

from facemodel.detail.relief import Relief
from facemodel.texture.doubts import doubts
from facemodel.texture.recover import Texture
from serving.quality import Quality
from serving.web.flag_words import WORDS, in_words


@pytest.mark.parametrize("source", [Quality, Texture, doubts, Relief])
def test_each_flag_that_is_documented_has_a_sentence(source):
    flags = re.findall(r'"(\w+)"', source.__doc__)
    assert len(flags) >= 2
    for flag, words in zip(flags, in_words(flags)):
        assert flag in WORDS and words.endswith(".") and words[0].isupper()


def test_an_unknown_flag_stands_for_itself():
    assert in_words(["new_flag"]) == ["new flag"]
