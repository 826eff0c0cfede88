"""Rules of sealing, of digests and of the key file."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ussd_engine.errors import SettingsError
from ussd_engine.sealing import KeyRing, SealBroken, load_or_create

KEYS = KeyRing.of(b"i" * 32, {"k1": b"s" * 32})


@given(st.binary(max_size=200), st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_sealed_data_opens_in_its_context(plain: bytes, context: str) -> None:
    """What is sealed comes back whole, where it was sealed."""
    assert KEYS.open(KEYS.seal(plain, context), context) == plain


def test_sealed_data_opens_nowhere_else() -> None:
    """Another context, another key, a changed byte, a cut: nothing opens."""
    sealed = KEYS.seal(b"1990-01-15", "here")
    other = KeyRing.of(b"i" * 32, {"k1": b"t" * 32})
    flipped = sealed[:-6] + ("A" if sealed[-6] != "A" else "B") + sealed[-5:]
    for ring, text, context in (
        (KEYS, sealed, "there"),
        (other, sealed, "here"),
        (KEYS, flipped, "here"),
        (KEYS, sealed[:-8], "here"),
        (KEYS, "k1.\u00e9", "here"),
        (KEYS, "k1", "here"),
        (KEYS, "", "here"),
    ):
        with pytest.raises(SealBroken):
            ring.open(text, context)


def test_repr_of_a_ring_shows_no_key() -> None:
    """A ring in a log line or a traceback gives no key away."""
    assert "i" * 8 not in repr(KEYS)
    assert repr(KEYS) == "KeyRing()"


def test_digest_tells_parts_apart() -> None:
    """Parts are joined with their lengths, so no two lists of parts are the same identity by accident."""
    digests = {
        KEYS.digest(*parts) for parts in (("a", "b"), ("ab",), ("ab", ""), ("", "ab"), ("a", "b", ""), ())
    }
    assert len(digests) == 6
    assert all(len(digest) == 32 for digest in digests)


def test_digest_depends_on_the_identity_key_alone() -> None:
    """Rotating the sealing keys keeps identities; another identity key makes all of them new."""
    rotated = KeyRing.of(b"i" * 32, {"k2": b"t" * 32})
    other = KeyRing.of(b"j" * 32, {"k1": b"s" * 32})
    assert KEYS.digest("x") == rotated.digest("x") != other.digest("x")


@pytest.mark.parametrize(
    ("identity", "sealing", "message"),
    [
        (b"short", {"k1": b"s" * 32}, "key 'identity' must be 32 bytes"),
        (b"i" * 32, {"k1": b"s" * 16}, "key 'k1' must be 32 bytes"),
        (b"i" * 32, {"K 1": b"s" * 32}, "key id 'K 1' must be 1 to 16"),
        (b"i" * 32, {}, "at least one sealing key"),
    ],
)
def test_ring_of_wrong_keys_is_refused(identity: bytes, sealing: dict[str, bytes], message: str) -> None:
    """A ring is complete or there is none."""
    with pytest.raises(ValueError, match=message):
        KeyRing.of(identity, sealing)


def test_key_file_is_made_once_and_is_the_owners(tmp_path: Path) -> None:
    """The first start makes the keys, readable by the owner alone; later ones find them."""
    path = tmp_path / "var" / "keys.json"
    first, second = load_or_create(path), load_or_create(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert first.digest("x") == second.digest("x")
    assert second.open(first.seal(b"x", "c"), "c") == b"x"
    assert list(path.parent.iterdir()) == [path]


def test_second_process_takes_the_keys_of_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes that start at once end with the same keys."""
    path = tmp_path / "keys.json"
    real = Path.exists
    first = load_or_create(path)
    monkeypatch.setattr(Path, "exists", lambda self: False if self == path else real(self))
    assert load_or_create(path).digest("x") == first.digest("x")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        json.dumps({"identity": "aa", "sealing": []}),
        json.dumps({"identity": "!", "sealing": [1]}),
    ],
)
def test_file_that_holds_no_keys(tmp_path: Path, content: str) -> None:
    """A broken key file is told by its name; it is never replaced, as the keys may be mended."""
    path = tmp_path / "keys.json"
    path.write_text(content)
    with pytest.raises(SettingsError, match=r"keys\.json: not a key file"):
        load_or_create(path)
    assert path.read_text() == content
