"""The handshake: who knows the secret gets in, and nobody else."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.errors import AuthenticationFailed
from nodes.wire.frames import FORMAT, FrameError
from nodes.wire.handshake import CLIENT, NODE, Handshake, Hello, Proof, Refused, encode_refusal

SECRET, CLUSTER = b"the cluster secret", b"cluster 1"
encode = msgspec.msgpack.encode


def hello(node: int, nonce: int, **changes: Any) -> Hello:
    role = NODE if node else CLIENT
    fields = {"format": FORMAT, "role": role, "node": node, "cluster": CLUSTER, "incarnation": b"i%d" % node}
    return Hello(**{**fields, "nonce": bytes([nonce]) * 32, **changes})


def dialler(secret: bytes = SECRET, **changes: Any) -> Handshake:
    return Handshake(secret, hello(1, 1, **changes), is_dialler=True)


def acceptor(secret: bytes = SECRET, nonce: int = 2, **changes: Any) -> Handshake:
    return Handshake(secret, hello(2, nonce, **changes), is_dialler=False)


def run(one: Handshake, other: Handshake) -> list[bytes]:
    """Carry the bodies across until nothing is said any more; returns all that was said."""
    said, pending = [], [(other, body) for body in one.begin()]
    while pending:
        to, body = pending.pop(0)
        said.append(body)
        pending += [(one if to is other else other, answer) for answer in to.receive(body)]
    return said


@pytest.mark.parametrize("node", [0, 1])
def test_two_ends_with_one_secret_know_each_other_afterwards(node: int) -> None:
    one, other = Handshake(SECRET, hello(node, 1), is_dialler=True), acceptor()
    said = run(one, other)
    assert one.is_done
    assert other.is_done
    assert (one.peer, other.peer) == (hello(2, 2), hello(node, 1))
    assert SECRET not in b"".join(said)


def test_the_acceptor_refuses_another_secret_and_proves_nothing() -> None:
    one, other = dialler(b"a guess"), acceptor()
    (answer,) = other.receive(one.begin()[0])
    (proof,) = one.receive(answer)
    with pytest.raises(AuthenticationFailed, match="secret was not proved"):
        other.receive(proof)
    assert not other.is_done


def test_the_dialler_refuses_an_acceptor_without_the_secret() -> None:
    one, other = dialler(), acceptor(b"a guess")
    (answer,) = other.receive(one.begin()[0])
    one.receive(answer)
    with pytest.raises(AuthenticationFailed, match="secret was not proved"):
        one.receive(encode(Proof(bytes(32))))
    assert not one.is_done


def test_a_replayed_proof_is_refused_because_the_nonce_is_new() -> None:
    first_hello, _, first_proof, _ = run(dialler(), acceptor())
    again = acceptor(nonce=3)
    again.receive(first_hello)
    with pytest.raises(AuthenticationFailed):
        again.receive(first_proof)


def test_an_acceptors_own_hello_sent_back_is_refused() -> None:
    other = acceptor()
    (own,) = other.receive(dialler().begin()[0])
    mirror = acceptor()
    with pytest.raises(FrameError, match="nonce"):
        mirror.receive(own)


def test_a_proof_sent_back_to_who_gave_it_is_refused() -> None:
    one = dialler()
    one.begin()
    (own_proof,) = one.receive(encode(hello(2, 2)))
    with pytest.raises(AuthenticationFailed):
        one.receive(own_proof)


def test_two_handshakes_with_one_node_cannot_be_played_against_each_other() -> None:
    """A stranger lets n1 dial it, and answers n1's questions with what n1 says to it as acceptor."""
    dialling = dialler()
    accepting = Handshake(SECRET, hello(1, 7), is_dialler=False)
    (answer,) = accepting.receive(dialling.begin()[0].replace(b"\1" * 32, b"\5" * 32))
    (proof,) = dialling.receive(answer)
    with pytest.raises(AuthenticationFailed):
        accepting.receive(proof)


def test_a_changed_hello_spoils_the_proof() -> None:
    one, other = dialler(), acceptor()
    (answer,) = other.receive(encode(hello(3, 1)))
    one.begin()
    (proof,) = one.receive(answer)
    with pytest.raises(AuthenticationFailed):
        other.receive(proof)


def test_another_format_is_refused_by_number_even_if_the_rest_is_unknown() -> None:
    with pytest.raises(AuthenticationFailed, match=f"speaks format 9, this one {FORMAT}"):
        acceptor().receive(encode([1, 9, {"new": "shape"}]))


def test_another_cluster_is_refused() -> None:
    with pytest.raises(AuthenticationFailed, match="another cluster"):
        acceptor().receive(dialler(cluster=b"cluster 2").begin()[0])


@pytest.mark.parametrize("side", [dialler, acceptor])
def test_a_founder_without_a_cluster_id_is_let_in(side: Any) -> None:
    one = dialler(cluster=b"") if side is dialler else dialler()
    other = acceptor(cluster=b"") if side is acceptor else acceptor()
    run(one, other)
    assert one.is_done
    assert other.is_done


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"GET / HTTP/1.1",
        encode(Proof(bytes(32))),
        encode(msgspec.structs.replace(hello(1, 1), nonce=b"short")),
        encode(hello(0, 1, role=NODE)),
        encode(hello(1, 1, role=CLIENT)),
        encode(hello(1, 1, role="king")),
    ],
)
def test_a_handshake_that_does_not_begin_with_a_good_hello_is_refused(body: bytes) -> None:
    with pytest.raises(FrameError):
        acceptor().receive(body)


def test_a_client_cannot_be_dialled() -> None:
    with pytest.raises(FrameError, match="only nodes"):
        dialler().receive(encode(hello(0, 2)))


def test_after_hello_only_a_proof_is_listened_to() -> None:
    other = acceptor()
    other.receive(dialler().begin()[0])
    with pytest.raises(FrameError, match="comes Proof"):
        other.receive(dialler().begin()[0])


@pytest.mark.parametrize("steps", [0, 1])
def test_the_reason_of_a_refusal_is_told(steps: int) -> None:
    one = dialler()
    for body in [encode(hello(2, 2))][:steps]:
        one.receive(body)
    with pytest.raises(AuthenticationFailed, match="refused: n1 is not welcome"):
        one.receive(encode_refusal("n1 is not welcome"))
    assert encode(Refused("why")) == encode_refusal("why")


def test_an_empty_secret_is_no_secret() -> None:
    with pytest.raises(ValueError):
        dialler(secret=b"")


@given(st.lists(st.binary(max_size=80), max_size=3))
def test_random_bodies_never_finish_a_handshake(bodies: list[bytes]) -> None:
    other = acceptor()
    for body in bodies:
        with pytest.raises((FrameError, AuthenticationFailed)):
            other.receive(body)
    assert not other.is_done
