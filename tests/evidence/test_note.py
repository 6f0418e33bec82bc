"""Notes and cosignatures against published keys, and against whatever bytes come."""

from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from contract import note

# The key, text and signature of the reference implementation's own tests (golang.org/x/mod/sumdb/note).
GO_VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_SEED = base64.b64decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")[1:]
GO_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
GO_NOTE = (
    GO_TEXT
    + "\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
# The example of c2sp.org/tlog-cosignature (published without its keys).
SPEC_NOTE = (
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    "— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo"
    "+zyWE+xeMcTOAYQ8=\n"
    "— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0"
    "xUe+mbIUBkBIfZ+qnA==\n"
)

GATEWAY = SigningKey(bytes(range(32)))
AUDITOR = SigningKey(bytes(range(32, 64)))
ORIGIN = note.origin("xihu-01", "gw-1", "0f" * 16)
POINT = note.Checkpoint(ORIGIN, 8, hashlib.sha256(b"root").digest())
GATEWAY_VKEY = note.verifier_key(ORIGIN, note.public_raw(GATEWAY))
AUDITOR_VKEY = note.verifier_key("audit.example/zj-1", note.public_raw(AUDITOR), note.COSIGNATURE)


def receipt(seconds: int = 1_784_000_000) -> str:
    return note.cosign(AUDITOR, "audit.example/zj-1", note.sign_checkpoint(GATEWAY, POINT), seconds)


def verify_both(text: str) -> None:
    note.verify_cosignature(text, AUDITOR_VKEY)
    note.verify_checkpoint(text, GATEWAY_VKEY)


def test_the_published_note_verifies_and_is_signed_again_byte_for_byte() -> None:
    assert note.verify_note(GO_NOTE, note.parse_verifier_key(GO_VKEY)) == GO_TEXT
    assert note.sign_note(SigningKey(GO_SEED), "PeterNeumann", GO_TEXT) == GO_NOTE


def test_the_published_note_with_another_letter_does_not_verify() -> None:
    with pytest.raises(note.NoteError):
        note.verify_note(GO_NOTE.replace("cryptography", "cryptographY"), note.parse_verifier_key(GO_VKEY))


def test_the_published_cosigned_checkpoint_is_taken_apart() -> None:
    body, signatures = note.parse_note(SPEC_NOTE)
    assert note.parse_checkpoint(body)[:2] == ("example.com/behind-the-sofa", 20852163)
    witness = signatures[1]
    assert (witness.name, witness.id.hex()) == ("witness.example.com/w1", "8d66cf3f")
    assert int.from_bytes(witness.signature[:8], "big") == 1679315147


def test_every_cut_and_every_changed_character_of_a_verifier_key_is_refused() -> None:
    for i in range(len(GO_VKEY)):
        for j in range(i + 1, len(GO_VKEY) + 1):
            if j - i < len(GO_VKEY):
                with pytest.raises(note.NoteError):
                    note.parse_verifier_key(GO_VKEY[i:j])
        with pytest.raises(note.NoteError):
            note.parse_verifier_key(GO_VKEY[:i] + chr(ord(GO_VKEY[i]) + 1) + GO_VKEY[i + 1 :])


def test_verifier_keys_carry_the_id_that_the_specification_spells_out() -> None:
    key = note.public_raw(GATEWAY)
    by_hand = hashlib.sha256(ORIGIN.encode() + b"\x0a\x01" + key).digest()[:4].hex()
    assert f"{ORIGIN}+{by_hand}+{base64.b64encode(bytes([1]) + key).decode()}" == GATEWAY_VKEY
    assert str(note.parse_verifier_key(AUDITOR_VKEY)) == AUDITOR_VKEY
    assert base64.b64decode(AUDITOR_VKEY.split("+", 2)[2])[0] == 4


def test_a_checkpoint_is_three_lines_a_blank_one_and_a_signature() -> None:
    text = note.sign_checkpoint(GATEWAY, POINT)
    lines = text.split("\n")
    assert lines[:4] == [
        f"hubiao/xihu-01/gw-1/{'0f' * 16}",
        "8",
        base64.b64encode(POINT.root).decode(),
        "",
    ]
    assert lines[4].startswith(f"— {ORIGIN} ")
    assert lines[5:] == [""]
    assert note.verify_checkpoint(text, GATEWAY_VKEY) == POINT


def test_a_checkpoint_of_another_key_or_origin_does_not_verify() -> None:
    text = note.sign_checkpoint(GATEWAY, POINT)
    with pytest.raises(note.NoteError):
        note.verify_checkpoint(text, note.verifier_key(ORIGIN, note.public_raw(AUDITOR)))
    foreign = note.sign_note(GATEWAY, "somebody", note.format_checkpoint(POINT))
    with pytest.raises(note.NoteError):
        note.verify_checkpoint(foreign, note.verifier_key("somebody", note.public_raw(GATEWAY)))


def test_a_receipt_keeps_the_gateways_signature_and_adds_the_auditors() -> None:
    text = receipt()
    assert note.verify_checkpoint(text, GATEWAY_VKEY) == POINT
    assert note.verify_cosignature(text, AUDITOR_VKEY) == (POINT, 1_784_000_000)


def test_the_cosigned_message_is_the_one_of_the_specification() -> None:
    body, signatures = note.parse_note(receipt(1679315147))
    message = b"cosignature/v1\ntime 1679315147\n" + body.encode()
    AUDITOR.verify_key.verify(message, signatures[1].signature[8:])
    assert len(signatures[1].signature) == 72


def test_a_receipt_whose_time_or_size_was_changed_does_not_verify() -> None:
    text = receipt()
    body, signatures = note.parse_note(text)
    late = bytearray(signatures[1].id + signatures[1].signature)
    late[11] ^= 1
    moved = text.replace(
        base64.b64encode(signatures[1].id + signatures[1].signature).decode(),
        base64.b64encode(bytes(late)).decode(),
    )
    for forged in (moved, text.replace("\n8\n", "\n9\n")):
        assert forged != text
        with pytest.raises(note.NoteError):
            note.verify_cosignature(forged, AUDITOR_VKEY)
    assert body.startswith(ORIGIN)


def test_a_key_of_one_type_does_not_check_signatures_of_the_other() -> None:
    key = note.public_raw(AUDITOR)
    with pytest.raises(note.NoteError):
        note.verify_cosignature(receipt(), note.verifier_key("audit.example/zj-1", key))
    with pytest.raises(note.NoteError):
        note.verify_checkpoint(receipt(), AUDITOR_VKEY)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "a\n",
        "a\n1\n",
        "a\n01\n" + "A" * 43 + "=\n",
        "a\n-1\nAAAA\n",
        "a\n1\nAAAA\n",
        "a\n1\n?\n",
        "\n1\nAAAA\n",
        "a\n1\n" + "A" * 43 + "=\nmore\n",
        "a\n1\n" + "A" * 43 + "=",
        "a\n１\n" + "A" * 43 + "=\n",
    ],
)
def test_a_body_that_is_no_checkpoint_is_refused(body: str) -> None:
    with pytest.raises(note.NoteError):
        note.parse_checkpoint(body)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "text\n",
        "text\n\n",
        "text\n\n— a AAAA\n",
        "text\n\n— a AAAAAAA=",
        "text\n\n- a AAAAAAA=\n",
        "text\n\n— a+b AAAAAAA=\n",
        "text\n\n—  AAAAAAA=\n",
        "text\n\n— a ?\n",
        "t\text\n\n— a AAAAAAA=\n",
        "text\n\n" + "— a AAAAAAA=\n" * 101,
        "\ud800\n\n— a AAAAAAA=\n",
        "text\r\n\n— a AAAAAAA=\n",
    ],
)
def test_a_text_that_is_no_note_is_refused(text: str) -> None:
    with pytest.raises(note.NoteError):
        note.parse_note(text)


def test_an_empty_line_inside_the_text_belongs_to_the_text() -> None:
    body, signatures = note.parse_note("one\n\ntwo\n\n— a AAAAAAA=\n")
    assert (body, len(signatures)) == ("one\n\ntwo\n", 1)


@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda data: data.decode(errors="surrogateescape")))
def test_any_text_is_a_note_or_a_note_error(text: str) -> None:
    for read in (note.parse_note, note.parse_checkpoint, note.parse_verifier_key):
        try:
            read(text)
        except note.NoteError:
            pass
    for vkey, check in ((GATEWAY_VKEY, note.verify_checkpoint), (AUDITOR_VKEY, note.verify_cosignature)):
        with pytest.raises(note.NoteError):
            check(text, vkey)


@given(st.data())
def test_no_changed_character_of_a_receipt_goes_unnoticed(data: st.DataObject) -> None:
    text = receipt()
    place = data.draw(st.integers(0, len(text) - 1))
    letter = data.draw(st.characters().filter(lambda c: c != text[place]))
    changed = text[:place] + letter + text[place + 1 :]
    with pytest.raises(note.NoteError):
        verify_both(changed)


def test_notes_are_kept_apart_by_a_line_of_dashes() -> None:
    notes = [receipt(), receipt(1_784_000_001)]
    assert note.split_notes(note.join_notes(notes)) == notes
    assert note.split_notes("") == []
    assert note.split_notes(notes[0]) == [notes[0]]
